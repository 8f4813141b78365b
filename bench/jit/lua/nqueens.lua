-- Ways to place queens. Recursion and branches: many side traces.
local n = tonumber(arg[1]) or 12
local rows, up, down = {}, {}, {}
local ways = 0

local function place(column)
  if column > n then
    ways = ways + 1
    return
  end
  for r = 1, n do
    if not rows[r] and not up[r + column] and not down[r - column + n] then
      rows[r], up[r + column], down[r - column + n] = true, true, true
      place(column + 1)
      rows[r], up[r + column], down[r - column + n] = false, false, false
    end
  end
end

place(1)
print(ways)
