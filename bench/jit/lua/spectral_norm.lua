-- The largest singular value of an endless matrix, by power iteration.
local n = tonumber(arg[1]) or 1200

local function a(i, j)
  local k = i + j - 1
  return 1 / ((k - 1) * k / 2 + i)
end

local function times(x, y, transposed)
  for i = 1, n do
    local sum = 0
    if transposed then
      for j = 1, n do sum = sum + x[j] * a(j, i) end
    else
      for j = 1, n do sum = sum + x[j] * a(i, j) end
    end
    y[i] = sum
  end
end

local u, v, t = {}, {}, {}
for i = 1, n do u[i] = 1 end
for _ = 1, 10 do
  times(u, t, false)
  times(t, v, true)
  times(v, t, false)
  times(t, u, true)
end
local uv, vv = 0, 0
for i = 1, n do
  uv = uv + u[i] * v[i]
  vv = vv + v[i] * v[i]
end
print(string.format("%.9f", math.sqrt(uv / vv)))
