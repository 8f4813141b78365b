-- Planets under gravity. Floating point in short loops over tables.
local sqrt = math.sqrt
local n = tonumber(arg[1]) or 1000000

local function body(x, y, z, vx, vy, vz, mass)
  return {x = x, y = y, z = z, vx = vx, vy = vy, vz = vz, mass = mass}
end

local sun = 4 * math.pi * math.pi
local bodies = {
  body(0, 0, 0, 0, 0, 0, sun),
  body(4.8, -1.2, -0.1, 0.61, 2.81, -0.03, 9.5e-4 * sun),
  body(8.3, 4.1, -0.4, -1.01, 1.83, 0.01, 2.9e-4 * sun),
  body(12.9, -15.1, -0.2, 1.08, 0.87, -0.01, 4.4e-5 * sun),
  body(15.4, -25.9, 0.2, 0.98, 0.59, -0.03, 5.2e-5 * sun),
}

local function pull(a, b, dt)
  local dx, dy, dz = a.x - b.x, a.y - b.y, a.z - b.z
  local d2 = dx * dx + dy * dy + dz * dz
  local f = dt / (d2 * sqrt(d2))
  local fa, fb = b.mass * f, a.mass * f
  a.vx, a.vy, a.vz = a.vx - dx * fa, a.vy - dy * fa, a.vz - dz * fa
  b.vx, b.vy, b.vz = b.vx + dx * fb, b.vy + dy * fb, b.vz + dz * fb
end

local function energy()
  local e = 0
  for i, a in ipairs(bodies) do
    e = e + 0.5 * a.mass * (a.vx * a.vx + a.vy * a.vy + a.vz * a.vz)
    for j = i + 1, #bodies do
      local b = bodies[j]
      local dx, dy, dz = a.x - b.x, a.y - b.y, a.z - b.z
      e = e - a.mass * b.mass / sqrt(dx * dx + dy * dy + dz * dz)
    end
  end
  return e
end

for _ = 1, n do
  for i = 1, #bodies do
    for j = i + 1, #bodies do
      pull(bodies[i], bodies[j], 0.01)
    end
  end
  for i = 1, #bodies do
    local b = bodies[i]
    b.x, b.y, b.z = b.x + 0.01 * b.vx, b.y + 0.01 * b.vy, b.z + 0.01 * b.vz
  end
end
print(string.format("%.9f", energy()))
