-- Walks a file of whole requests, all of one length and each sent once; tells the result as JSON.
-- wrk … -s wrk.lua URL -- FILE LENGTH
local file, length, last

function init(arguments)
  file = assert(io.open(arguments[1], "rb"))
  length = tonumber(arguments[2])
end

function request()
  local whole = file:read(length)
  if whole == nil or #whole < length then
    wrk.thread:stop() -- nothing is sent twice but by those who are on their way just now
    return last
  end
  last = whole
  return whole
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "microseconds": %d, "refused": %d, "broken": %d, "p50": %d, "p99": %d, "worst": %d}\n',
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99), latency.max))
end
