-- Adds the key of the application that a request is led to, in place of whatever key it carries. The key lies in a file that the route names: it is in no
-- configuration, and a new application needs no new start. Without its key nobody gets to an application. A route that names none leads to none: it is an
-- answer of the door's own.

function envoy_on_request(request)
  local settings = request:metadata()
  local path, header = settings:get("file"), settings:get("header")
  if not path then
    return
  end
  local file = io.open(path, "r")
  local key = file and file:read("*l")
  if file then
    file:close()
  end
  if not key or key == "" then
    return request:respond({[":status"] = "503", ["content-type"] = "text/plain; charset=utf-8"}, "the door has no key of this instance yet\n")
  end
  request:headers():replace(header, key)
end
