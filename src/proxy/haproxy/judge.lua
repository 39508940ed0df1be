-- HAProxy's judge of requests for rules that are not plain words: regular expressions,
-- hosts, headers. It runs the programs of src/http/program-text.ts as automata that are
-- made as texts ask for them, in time linear in the text (as src/regex/matcher.ts does).
-- It fails closed: whoever calls it has denied before, and it takes that back as its last
-- act. All tables that grow with requests are bounded. Each thread has a copy of it.

local programs = Map.new(os.getenv("AXONEME_HTTP_PROGRAMS"), Map._str)

local MAX_SETS = 1000 -- read at a time
local MAX_STATES = 2000 -- of one automaton
local MAX_MEMORY = 4000 -- verdicts remembered for one set
local MAX_KEY = 400 -- bytes of a request that are kept for it: more would let one pod fill the memory
local DENIED, ASKED = -1, -2
local AUDITED = 1000000000 -- denied, but only for the record: AUDITED of src/http/entries.ts

local byte, find, match, gmatch, sub = string.byte, string.find, string.match, string.gmatch, string.sub
local NONE = {}

---------------------------------------------------------------- programs

local function read_program(text)
  local classes, neighbours, sets, code = match(text, "^(%x+),(%l*),([^,]*),(.*)$")
  local program = { class = {}, neighbour = {}, take = {}, states = {}, size = 0, op = {}, x = {}, y = {} }
  for code_point = 0, 127 do
    program.class[code_point] = tonumber(sub(classes, 2 * code_point + 1, 2 * code_point + 2), 16)
  end
  for index = 1, #neighbours do program.neighbour[index - 1] = sub(neighbours, index, index) end
  local number = 0
  for ranges in gmatch(sets .. "/", "([^/]*)/") do
    local set = {}
    for range in gmatch(ranges, "[^.]+") do
      local first, last = match(range, "^(%d+)-?(%d*)$")
      for class = tonumber(first), tonumber(last ~= "" and last or first) do set[class] = true end
    end
    program.take[number] = set
    number = number + 1
  end
  local at = 0
  for op, rest in gmatch(code, "(%l)([^.]*)") do
    program.op[at] = op
    if op == "a" then
      program.x[at] = rest
    else
      local x, y = match(rest, "^(%d+)_?(%d*)$")
      program.x[at], program.y[at] = tonumber(x), tonumber(y)
    end
    at = at + 1
  end
  return program
end

local function holds(assertion, before, after)
  if assertion == "beginText" then return before == "e" end
  if assertion == "endText" then return after == "e" end
  if assertion == "beginLine" then return before == "e" or before == "n" end
  if assertion == "endLine" then return after == "e" or after == "n" end
  local edge = (before == "w") ~= (after == "w")
  if assertion == "wordEdge" then return edge end
  return assertion == "noWordEdge" and not edge
end

-- What is reached from a state without a character, ascending.
local function closure(program, state, after)
  local op, x, y = program.op, program.x, program.y
  local seen, order, waiting, count = {}, {}, {}, 0
  for index, at in ipairs(state.heads) do
    waiting[index] = at
    count = index
  end
  while count > 0 do
    local at = waiting[count]
    count = count - 1
    if not seen[at] then
      seen[at] = true
      order[#order + 1] = at
      local kind = op[at]
      if kind == "j" then
        count = count + 1
        waiting[count] = x[at]
      elseif kind == "f" then
        waiting[count + 1], waiting[count + 2] = x[at], y[at]
        count = count + 2
      elseif kind == "a" and holds(x[at], state.before, after) then
        count = count + 1
        waiting[count] = at + 1
      end
    end
  end
  table.sort(order)
  return order
end

-- A state is also the table of its successors, by class.
local function state_of(program, heads, before)
  local key = before .. table.concat(heads, ",")
  local state = program.states[key]
  if state then return state end
  if program.size >= MAX_STATES then program.states, program.size, program.first = {}, 0, nil end
  state = { heads = heads, before = before, dead = #heads == 0 }
  program.states[key] = state
  program.size = program.size + 1
  return state
end

local function step(program, state, class)
  local after = program.neighbour[class]
  local op, x, take = program.op, program.x, program.take
  local heads = {}
  for _, at in ipairs(closure(program, state, after)) do
    if op[at] == "t" and take[x[at]][class] then heads[#heads + 1] = at + 1 end
  end
  local following = state_of(program, heads, after)
  state[class] = following
  return following
end

-- The set of expressions that match the whole text.
local function accepted(program, text)
  local state = program.first
  if not state then
    state = state_of(program, { 0 }, "e")
    program.first = state
  end
  local class = program.class
  for index = 1, #text do
    local number = class[byte(text, index)]
    if not number then return NONE end
    state = state[number] or step(program, state, number)
    if state.dead then return NONE end
  end
  local patterns = state.accepted
  if not patterns then
    patterns = {}
    for _, at in ipairs(closure(program, state, "e")) do
      if program.op[at] == "m" then patterns[program.x[at]] = true end
    end
    state.accepted = patterns
  end
  return patterns
end

---------------------------------------------------------------- sets of rules

local function from_hex(text)
  return (string.gsub(text, "%x%x", function(digits) return string.char(tonumber(digits, 16)) end))
end

local function one_sign(name) return (string.gsub(name, "_", "-")) end

local function read_rule(text)
  local place, method, path, host, headers = match(text, "^(%d+),(%d*),(%d*),(%d*),(.*)$")
  local rule = { place = tonumber(place), method = tonumber(method), path = tonumber(path), host = tonumber(host) }
  for name, mismatch, value in gmatch(headers, "(%x+):(%l+):([%x*!]*)") do
    rule.headers = rule.headers or {}
    name = from_hex(name)
    rule.headers[#rule.headers + 1] = {
      name = name,
      sign = one_sign(name),
      mismatch = mismatch,
      unknown = value == "!",
      value = not find(value, "[*!]") and from_hex(value) or nil,
    }
  end
  return rule
end

local KIND = { M = "method", P = "path", H = "host" }

local function read_set(text)
  local set = { rules = {}, memory = {}, remembered = 0 }
  for kind, rest in gmatch(text, "(%u)([^|]*)") do
    if kind == "R" then
      local rule = read_rule(rest)
      set.rules[#set.rules + 1] = rule
      if rule.headers then set.headers = true end
    else
      set[KIND[kind]] = read_program(rest)
    end
  end
  -- Rules that a path chooses are found by it.
  set.by_path, set.of_any_path = {}, {}
  for _, rule in ipairs(set.rules) do
    local list = set.of_any_path
    if rule.path then
      list = set.by_path[rule.path] or {}
      set.by_path[rule.path] = list
    end
    list[#list + 1] = rule
  end
  return set
end

local sets, known_sets = {}, 0

-- Nil where the set is not there, or only in part.
local function set_of(answer)
  local stamp = programs:lookup(answer)
  if not stamp then return nil end
  local set = sets[answer]
  if set and set.stamp == stamp then return set end
  local count, length = match(stamp, "^(%d+):(%d+):")
  local pieces = {}
  for index = 1, tonumber(count) do
    pieces[index] = programs:lookup(answer .. ":" .. index)
    if not pieces[index] then return nil end
  end
  local text = table.concat(pieces)
  if #text ~= tonumber(length) then return nil end
  if known_sets >= MAX_SETS then sets, known_sets = {}, 0 end
  set = read_set(text)
  set.stamp = stamp
  if not sets[answer] then known_sets = known_sets + 1 end
  sets[answer] = set
  return set
end

---------------------------------------------------------------- requests

-- What `Connection` names: the next proxy takes away the headers of these names. One sign for both.
local function options_of(headers)
  local options = {}
  for _, value in pairs(headers["connection"] or NONE) do
    for option in gmatch(string.lower(value), '[^%s,;"]+') do options[one_sign(option)] = true end
  end
  return options
end

-- Whether a rule lets the headers pass; what it wants changed is put into `effects`.
local function headers_pass(rule, request, effects)
  local headers = request.headers
  for _, wanted in ipairs(rule.headers) do
    -- Who comes next may take away what this rule judges, or would set.
    if request.options[wanted.sign] then return false end
    -- Gateways of servers write both signs alike: which of two such headers counts, only they know.
    for name in pairs(headers) do
      if name ~= wanted.name and one_sign(name) == wanted.sign then return false end
    end
    local found = headers[wanted.name]
    local right = found ~= nil and not wanted.unknown
    if right and wanted.value then
      for _, value in pairs(found) do right = right and value == wanted.value end
    end
    if not right then
      local mismatch = wanted.mismatch
      local writes = mismatch == "add" or mismatch == "replace"
      if mismatch == "deny" or (writes and wanted.unknown) then return false end
      effects[#effects + 1] = wanted
    end
  end
  return true
end

local function rule_matches(rule, methods, hosts, request, effects)
  if rule.method and not methods[rule.method] then return false end
  if rule.host and not hosts[rule.host] then return false end
  return not rule.headers or headers_pass(rule, request, effects)
end

-- Rules of a path that matches and of any path, in their order.
local function candidates(set, paths)
  local list = {}
  for _, rule in ipairs(set.of_any_path) do list[#list + 1] = rule end
  for number in pairs(paths) do
    for _, rule in ipairs(set.by_path[number] or NONE) do list[#list + 1] = rule end
  end
  table.sort(list, function(a, b) return a.place < b.place end)
  return list
end

local function judge_by(set, request, effects)
  local paths = set.path and accepted(set.path, request.path) or NONE
  local methods = set.method and accepted(set.method, request.method) or NONE
  local hosts = set.host and request.host and accepted(set.host, request.host) or NONE
  local first = DENIED
  for _, rule in ipairs(candidates(set, paths)) do
    local mine = {}
    if rule_matches(rule, methods, hosts, request, mine) then
      if first == DENIED then first = rule.place + 1 end
      for _, effect in ipairs(mine) do effects[#effects + 1] = effect end
    end
  end
  return first
end

-- 1 + place of the rule that allows, or -1.
local function verdict(answer, request, effects)
  local set = set_of(answer)
  if not set then return DENIED end
  if set.headers then
    request.headers = request.headers or request.txn.http:req_get_headers()
    request.options = request.options or options_of(request.headers)
    return judge_by(set, request, effects)
  end
  local key = request.method .. ":" .. request.path .. "#" .. (request.host or "?")
  local known = set.memory[key]
  if known then return known end
  local result = judge_by(set, request, effects)
  if #key > MAX_KEY then return result end
  if set.remembered >= MAX_MEMORY then set.memory, set.remembered = {}, 0 end
  set.memory[key] = result
  set.remembered = set.remembered + 1
  return result
end

-- In lower case, without the port. Nil: what is no host.
local function host_name(host)
  if find(host, "[^%w._:%[%]-]") then return nil end
  local name = match(host, "^(%[[^%]]*%]):?%d*$") or match(host, "^([^:]*):?%d*$") or host
  return string.lower(name)
end

local function request_of(txn)
  local method, path = match(txn:get_var("txn.q"), "^([^:]*):(.*)#$")
  return { txn = txn, method = method, path = path, host = host_name(txn.f:req_fhdr("host") or "") }
end

local function change(txn, effect, told)
  told[#told + 1] = effect.name
  if effect.mismatch == "delete" then
    txn.http:req_del_header(effect.name)
  elseif effect.value and effect.mismatch == "add" then
    txn.http:req_add_header(effect.name, effect.value)
  elseif effect.value and effect.mismatch == "replace" then
    txn.http:req_set_header(effect.name, effect.value)
  end
end

local function is_tried(answer) return programs:lookup(answer .. ":audit") ~= nil end

-- Sets that are only tried out change no request.
local function asked_verdict(answer, request, effects)
  return verdict(answer, request, is_tried(answer) and {} or effects)
end

local function passes(result, answer) return result >= 0 or (result == DENIED and is_tried(answer)) end

core.register_action("judge", { "http-req" }, function(txn)
  local request, effects = request_of(txn), {}
  local egress, ingress = txn:get_var("txn.er"), txn:get_var("txn.ir")
  local of_egress, of_ingress = tostring(txn:get_var("txn.e")), tostring(txn:get_var("txn.i"))
  if egress == ASKED then egress = asked_verdict(of_egress, request, effects) end
  if ingress == ASKED then ingress = asked_verdict(of_ingress, request, effects) end
  if #effects > 0 and passes(egress, of_egress) and passes(ingress, of_ingress) then
    local told = {}
    for _, effect in ipairs(effects) do change(txn, effect, told) end
    txn:set_var("txn.told", table.concat(told, ","))
  end
  txn:set_var("txn.er", egress)
  txn:set_var("txn.ir", ingress)
end, 0)

-- Called for what is denied, or refused for its path: lets it pass where only sets that are tried out say so.
core.register_action("try", { "http-req" }, function(txn)
  local is_odd, is_limited = txn:get_var("txn.why") == "path", false
  for answer, result in pairs({ ["txn.e"] = "txn.er", ["txn.i"] = "txn.ir" }) do
    local found = txn:get_var(result)
    if found ~= 0 then
      if not is_tried(tostring(txn:get_var(answer))) then is_limited = true
      elseif found == DENIED or is_odd then
        txn:set_var(result, AUDITED)
        txn:set_var("txn.tried", 1)
      end
    end
  end
  if is_odd and not is_limited then txn:unset_var("txn.why") end
end, 0)

---------------------------------------------------------------- requests of odd form

local function count_of(values)
  local count = 0
  for _ in pairs(values or NONE) do count = count + 1 end
  return count
end

local function only_value(values)
  return count_of(values) == 1 and string.lower(values[0]) or nil
end

-- What a proxy behind us may take away because `Connection` names it must not be what the message is made of.
local OF_THE_MESSAGE = { host = true, ["content-length"] = true, ["transfer-encoding"] = true }

local function has_control_character(headers)
  for _, values in pairs(headers) do
    for _, value in pairs(values) do
      if find(value, "[\0-\8\11\12\14-\31\127]") then return true end
    end
  end
  return false
end

-- The reason to refuse a request for its headers, or nil. Called for those that have something of interest.
local function oddness(txn, headers)
  if has_control_character(headers) then return "control" end
  if count_of(headers["host"]) > 1 then return "host" end
  if headers["content_length"] or headers["transfer_encoding"] then return "framing" end
  local encoding = headers["transfer-encoding"]
  if encoding and (only_value(encoding) ~= "chunked" or txn.f:req_ver() == "1.0") then return "framing" end
  for option in pairs(options_of(headers)) do
    if OF_THE_MESSAGE[option] then return "connection" end
  end
  return nil
end

core.register_action("shape", { "http-req" }, function(txn)
  local headers = txn.http:req_get_headers()
  local why = oddness(txn, headers)
  if why then
    txn:set_var("txn.why", why)
    return
  end
  if headers["transfer-encoding"] then txn.http:req_set_header("transfer-encoding", "chunked") end
  -- Any other protocol would be a way past the rules; not to change it is every server's right (RFC 9110, 7.8).
  if only_value(headers["upgrade"]) == "websocket" then
    txn:set_var("txn.ws", 1)
  elseif headers["upgrade"] then
    for _, name in ipairs({ "upgrade", "http2-settings", "connection" }) do txn.http:req_del_header(name) end
  end
  txn:unset_var("txn.why")
end, 0)
