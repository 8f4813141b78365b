-- How many points of a grid stay small. One tight loop, unforeseeable exits.
local n = tonumber(arg[1]) or 1200
local inside = 0

for y = 0, n - 1 do
  local ci = 2 * y / n - 1
  for x = 0, n - 1 do
    local cr = 2 * x / n - 1.5
    local zr, zi, left = 0, 0, 50
    while left > 0 and zr * zr + zi * zi < 4 do
      zr, zi = zr * zr - zi * zi + cr, 2 * zr * zi + ci
      left = left - 1
    end
    if left == 0 then inside = inside + 1 end
  end
end
print(inside)
