-- Trees that live shortly: allocation, recursion, garbage.
local depth = tonumber(arg[1]) or 16

local function make(d)
  if d == 0 then return {} end
  return {make(d - 1), make(d - 1)}
end

local function count(tree)
  if tree[1] == nil then return 1 end
  return 1 + count(tree[1]) + count(tree[2])
end

local kept = make(depth)
local total = 0
for d = 4, depth, 2 do
  for _ = 1, 2 ^ (depth - d) do
    total = total + count(make(d))
  end
end
print(total, count(kept))
