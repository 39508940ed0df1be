-- Reads the name of the server in a ClientHello of TLS (RFC 8446, 4.1.2; RFC 6066, 3) and
-- judges by it, with the entries of ./server-names.ts. It is strict: of a hello that two
-- readers could read differently there is no name. It fails closed: whoever calls it takes
-- a verdict that is missing for a denial. Each thread has a copy of it.

local names = Map.new(os.getenv("AXONEME_SERVER_NAMES"), Map._str)

local CLIENT_HELLO, SERVER_NAME, HOST_NAME = 1, 0, 0
local MAX_NAME = 253
local DENIED = -1

local byte, find, gmatch, match, sub = string.byte, string.find, string.gmatch, string.match, string.sub

---------------------------------------------------------------- ClientHello

local function number(text, at, size)
  local value = 0
  for place = at, at + size - 1 do value = value * 256 + byte(text, place) end
  return value
end

-- Its last byte, of a vector whose length stands in `size` bytes; nil where it goes beyond `limit`.
local function vector_end(text, at, size, limit)
  if at + size - 1 > limit then return nil end
  local last = at + size - 1 + number(text, at, size)
  return last <= limit and last or nil
end

-- Exactly one name of a host, in letters that such names have.
local function name_in(text, first, last)
  if vector_end(text, first, 2, last) ~= last or first + 2 > last or byte(text, first + 2) ~= HOST_NAME then return nil end
  if vector_end(text, first + 3, 2, last) ~= last then return nil end
  local name = sub(text, first + 5, last)
  if #name > MAX_NAME or find(name, "[^A-Za-z0-9_.-]") or find("." .. name .. ".", "..", 1, true) then return nil end
  return string.lower(name)
end

-- The name, empty where there is none; nil where the extensions are not in order.
local function name_among(text, at, limit)
  local name = ""
  while at <= limit do
    local last = vector_end(text, at + 2, 2, limit)
    if not last then return nil end
    if number(text, at, 2) == SERVER_NAME then
      local found = name_in(text, at + 4, last)
      if not found or name ~= "" then return nil end
      name = found
    end
    at = last + 1
  end
  return name
end

-- `hello`: what one record holds.
local function server_name(hello)
  local size = #hello
  if size < 39 or byte(hello, 1) ~= CLIENT_HELLO or number(hello, 2, 3) ~= size - 4 or byte(hello, 5) ~= 3 then
    return nil
  end
  local last = 4 + 2 + 32
  for _, length_size in ipairs({ 1, 2, 1 }) do -- session, cipher suites, compression
    last = vector_end(hello, last + 1, length_size, size)
    if not last then return nil end
  end
  if last == size then return "" end
  if vector_end(hello, last + 1, 2, size) ~= size then return nil end
  return name_among(hello, last + 3, size)
end

---------------------------------------------------------------- names

-- The leftmost place of each piece leaves the most room for those that follow.
local function label_matches(pattern, label)
  local first, rest = match(pattern, "^([^*]*)%*(.*)$")
  if not first then return pattern == label end
  if sub(label, 1, #first) ~= first then return false end
  local at = #first + 1
  for piece in gmatch(rest, "([^*]*)%*") do
    local _, last = find(label, piece, at, true)
    if not last then return false end
    at = last + 1
  end
  local ending = match(rest, "[^*]*$")
  return #label - #ending >= at - 1 and sub(label, #label - #ending + 1) == ending
end

-- `labels`: of the name, the last one first; `known` of them are the pattern's ending.
local function matches(deep, wanted, labels, known)
  local at = known
  for pattern in gmatch(wanted, "[^,]+") do
    at = at + 1
    if not labels[at] or not label_matches(pattern, labels[at]) then return false end
  end
  if deep then return at < #labels end
  return at == #labels
end

local function labels_of(name)
  local labels = {}
  for label in gmatch(name, "[^.]+") do table.insert(labels, 1, label) end
  return labels
end

-- 1 + place of the first rule that means the name, or -1; what is said instead of that for the record.
local function verdict(answer, name)
  local otherwise = tonumber(names:lookup(answer .. "&")) or DENIED
  if name == "" then return tonumber(names:lookup(answer .. "!")) or otherwise end
  local first = math.huge
  local function allow(place) first = math.min(first, tonumber(place) or math.huge) end
  allow(names:lookup(answer .. "=" .. name .. "."))
  allow(names:lookup(answer .. "*"))
  local labels, ending = labels_of(name), "."
  for known = 0, #labels - 1 do
    if known > 0 then ending = labels[known] .. (known > 1 and "." or "") .. ending end
    local count = 1
    local pattern = names:lookup(answer .. "~" .. ending .. "#1")
    while pattern do
      local place, deep, wanted = match(pattern, "^(%d+):([01]):(.*)$")
      if place and matches(deep == "1", wanted, labels, known) then allow(place) end
      count = count + 1
      pattern = names:lookup(answer .. "~" .. ending .. "#" .. count)
    end
  end
  return first < math.huge and first or otherwise
end

core.register_action("server_name", { "tcp-req" }, function(txn)
  local name = server_name(txn.f:req_payload_lv(3, 2) or "")
  if not name then
    txn:set_var("txn.why", "hello")
    return
  end
  txn:set_var("txn.n", name)
  for answer, result in pairs({ ["txn.e"] = "txn.er", ["txn.i"] = "txn.ir" }) do
    if not txn:get_var(result) then txn:set_var(result, verdict(tostring(txn:get_var(answer)), name)) end
  end
end, 0)

-- Of TLS that has ended here: `txn.ne` and `txn.ni` are there where the opener's and the responder's names allow it.
core.register_action("inner_server_name", { "http-req" }, function(txn)
  local name = string.lower(txn.f:ssl_fc_sni() or "")
  if #name > MAX_NAME or find(name, "[^a-z0-9_.-]") then return end
  for answer, result in pairs({ ["txn.e"] = "txn.ne", ["txn.i"] = "txn.ni" }) do
    if verdict(tostring(txn:get_var(answer)), name) ~= DENIED then txn:set_var(result, 1) end
  end
end, 0)
