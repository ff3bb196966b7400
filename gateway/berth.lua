-- berth.lua - what HAProxy does with a request whose instance's address it does not know, or cannot reach.
--
-- haproxy.cfg sets BERTH_RESOLVER, the resolver's socket, and BERTH_WAKE_TIMEOUT, how long a request may wait, in
-- seconds. One copy per thread. The resolver (gateway/resolver.c) is asked with one line and answers with one line:
--
--     resolve <key> <client>    → ok <address>
--     retry <key> <address>     → err <status> <seconds to retry after, 0: none> <reason> <message>
--
-- The key is <namespace>/<container>/<ID, percent-encoded>. Bodies are neither read nor kept while a request waits. A
-- client that goes away ends its wait at once (option abortonclose). A resolver that is away for a moment, as during
-- a restart of berth-gateway, is asked again until the time is up.

local socket_path = os.getenv("BERTH_RESOLVER")
local wake_timeout = tonumber(os.getenv("BERTH_WAKE_TIMEOUT"))

-- How long an address that takes no connection is tried before the client is told to come back.
local UNREACHABLE_TIMEOUT = 10

local function escape(s)
	return (s:gsub('[%c"\\\127-\255]', function(c) return string.format("\\u%04x", c:byte()) end))
end

local function refuse(txn, status, retry_after, reason, message)
	local headers = {["Content-Type"] = {"application/json"}, ["Cache-Control"] = {"no-store"}}
	if retry_after > 0 then headers["Retry-After"] = {tostring(retry_after)} end
	txn:done(txn:reply({
		status = status,
		headers = headers,
		body = string.format('{"code":%d,"reason":"%s","message":"%s"}\n',
			status, escape(reason), escape(message)),
	}))
end

-- The resolver's line, or nil when it is away.
local function ask(line, seconds)
	local s = core.tcp()
	s:settimeout(seconds)
	if not s:connect(socket_path) then return nil end
	local answer
	if s:send(line .. "\n") then answer = s:receive("*l") end
	s:close()
	return answer
end

-- The address, or nil after the client was refused.
local function resolve(txn, line, deadline)
	while true do
		-- The resolver keeps the time; it is left some more to say so.
		local answer = ask(line, math.max(deadline - core.now().sec, 0) + 5)
		local address = answer and answer:match("^ok (%S+)$")
		if address then return address end
		if answer then
			local status, retry_after, reason, message = answer:match("^err (%d+) (%d+) (%S+) (.*)$")
			if status then
				refuse(txn, tonumber(status), tonumber(retry_after), reason, message)
				return nil
			end
		end
		if core.now().sec >= deadline then
			refuse(txn, 503, 5, "ResolverUnavailable",
				"the gateway cannot look up instances now; try again")
			return nil
		end
		core.msleep(100)
	end
end

core.register_action("berth_resolve", {"http-req"}, function(txn)
	if not txn:get_var("txn.rule") then
		return refuse(txn, 404, 0, "RouteNotFound", "no Route matches this host and path")
	end
	if (txn:get_var("txn.id") or "") == "" then
		return refuse(txn, 400, 0, "InvalidID",
			"the request carries no ID where its Route looks for one, or a malformed one")
	end
	local address = resolve(txn, "resolve " .. txn:get_var("txn.key") .. " " .. (txn.f:src() or ""), core.now().sec + wake_timeout)
	if address then txn:set_var("txn.addr", address) end
end, 0)

-- The address in the map took no connection: its VM has just gone, or its port is closed.
core.register_action("berth_again", {"http-req"}, function(txn)
	local address, port = txn.f:dst(), txn.f:dst_port()
	local key = txn:get_var("txn.key")
	local deadline = core.now().sec + wake_timeout
	local unreachable_until = core.now().sec + UNREACHABLE_TIMEOUT
	local pause = 50

	while true do
		local known = resolve(txn, "retry " .. key .. " " .. address, deadline)
		if not known then return end
		if known ~= address then unreachable_until = core.now().sec + UNREACHABLE_TIMEOUT end
		address = known
		local probe = core.tcp()
		probe:settimeout(2)
		local connected = probe:connect(address, port)
		probe:close()
		if connected then
			txn:set_var("txn.addr", address)
			txn:set_var("txn.port", port)
			return
		end
		if core.now().sec >= unreachable_until then
			return refuse(txn, 503, 1, "Unreachable", "the instance takes no connections on port " .. port)
		end
		core.msleep(pause)
		pause = math.min(pause * 2, 1000)
	end
end, 0)
