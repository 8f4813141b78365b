-- The most prefix reversals that any permutation needs until 1 is in front.
-- Integers in tables, loops of changing length.
local n = tonumber(arg[1]) or 9

local function flips(p, q)
  local count = 0
  for i = 1, n do q[i] = p[i] end
  while q[1] ~= 1 do
    local i, j = 1, q[1]
    while i < j do
      q[i], q[j] = q[j], q[i]
      i, j = i + 1, j - 1
    end
    count = count + 1
  end
  return count
end

-- Permutations in the order of Heap's method.
local p, q, c = {}, {}, {}
for i = 1, n do p[i], c[i] = i, 1 end
local most, sum, sign = 0, 0, 1
local i = 1
while i <= n do
  if i == 1 or c[i] < i then
    if i > 1 then
      local k = i % 2 == 1 and 1 or c[i]
      p[k], p[i] = p[i], p[k]
      c[i] = c[i] + 1
      sign = -sign
    end
    local f = flips(p, q)
    if f > most then most = f end
    sum = sum + sign * f
    i = 2
  else
    c[i] = 1
    i = i + 1
  end
end
print(most, sum)
