-- A program that the JIT is never done with: new functions all the time, each
-- hot for a moment. Here the code cache is written more often than anywhere.
local n = tonumber(arg[1]) or 6000
local total = 0

for i = 1, n do
  local f = assert(loadstring(string.format([[
    local n = ...
    local t, s = {}, %d
    for i = 1, n do
      if i %% %d == 0 then s = s + i * %d else s = s - %d end
      t[i %% 8 + 1] = s
    end
    return t[%d] + s
  ]], i, i % 7 + 2, i % 5 + 1, i % 3, i % 8 + 1)))
  total = total + f(400)
end
print(total)
