-- An operating system's scheduler in the manner of Richards' benchmark: tasks
-- of several kinds pass packets through queues. Method calls that change their
-- target all the time.
local rounds = tonumber(arg[1]) or 1000000

local Task = {}
Task.__index = Task

local tasks, ready = {}, {}
local first, last = 1, 0
local passed, held = 0, 0

local function wake(t)
  if not t.ready then
    t.ready = true
    last = last + 1
    ready[last] = t
  end
end

local function send(id, packet)
  local t = tasks[id]
  packet.next, t.queue = t.queue, packet
  passed = passed + 1
  wake(t)
end

function Task.new(kind, id, run)
  local t = setmetatable({kind = kind, id = id, run = run, seed = id}, Task)
  tasks[id] = t
  return t
end

function Task:take()
  local p = self.queue
  if p then self.queue, p.next = p.next, nil end
  return p
end

function Task:random(n)
  self.seed = (self.seed * 1103 + 12345) % 65536
  return self.seed % n + 1
end

local function idle(t)
  t.count = (t.count or 0) + 1
  wake(tasks[t:random(#tasks)])
  wake(t)
end

local function worker(t)
  local p = t:take()
  if not p then return end
  for i = 1, 4 do p.data[i] = (p.data[i] + t:random(26)) % 26 end
  send(t.id % 2 == 0 and 4 or 5, p)
end

local function handler(t)
  local p = t:take()
  if not p then return end
  if p.kind == "device" then
    send(6, p)
  else
    held = held + p.data[1]
    send(t:random(2) + 1, p)
  end
end

local function device(t)
  local p = t:take()
  if not p then return end
  p.kind = p.kind == "device" and "work" or "device"
  held = held + 1
  send(t:random(5) + 1, p)
end

Task.new("idle", 1, idle)
Task.new("work", 2, worker)
Task.new("work", 3, worker)
Task.new("handler", 4, handler)
Task.new("handler", 5, handler)
Task.new("device", 6, device)
for i = 1, 12 do
  send(i % 5 + 2, {kind = i % 3 == 0 and "device" or "work",
                   data = {i, i + 1, i + 2, i + 3}})
end
wake(tasks[1])

for _ = 1, rounds do
  local t = ready[first]
  ready[first] = nil
  first = first + 1
  t.ready = false
  t:run()
  if t.queue then wake(t) end
end
print(passed, held)
