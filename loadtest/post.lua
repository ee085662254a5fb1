-- The same POST again and again, for wrk: what a request costs when nothing but requests happens.
--
--   wrk -t1 -c64 -d5s --latency -s post.lua http://127.0.0.1:8080/ID -- BODYFILE [DEPTH] [HEADER: VALUE]...
--
-- DEPTH requests are written at once (pipelining); wrk counts each answer.

local requests

function init(args)
  local file = assert(io.open(args[1], "rb"))
  wrk.body = file:read("*a")
  file:close()
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  for i = 3, #args do
    local name, value = args[i]:match("^([^:]+):%s*(.*)$")
    wrk.headers[name] = value
  end
  requests = string.rep(wrk.format(), tonumber(args[2] or "1"))
end

-- Waits before each request, to post at a pace instead of as fast as answers come: milliseconds.
if os.getenv("PACE_MS") then
  local pace = tonumber(os.getenv("PACE_MS"))
  function delay()
    return pace
  end
end

function request()
  return requests
end

function done(summary, latency)
  local errors = summary.errors
  print(string.format("RESULT requests=%d microseconds=%d p50=%d p90=%d p99=%d bad_status=%d broken=%d",
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(90), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
