-- Writes to the code cache from outside the compiler. With W^X this ends the
-- process; without, it says so.
local ffi = require("ffi")
local tracemc = require("jit.util").tracemc

local sum = 0
for i = 1, 1000 do sum = sum + i end
local code, address = tracemc(1)
assert(code and #code > 0 and sum == 500500, "nothing was compiled")
local p = ffi.cast("volatile uint8_t *", address)
assert(p[0] == code:byte(1), "the code cache cannot be read")
io.stderr:write("reading the code cache works\n")
p[0] = p[0]
io.stderr:write("the code cache can be written\n")
