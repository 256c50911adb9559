-- Only the page that a host gave out speaks to it: not a page of another site in the same browser, and no page of another port.
-- Whether the Host is one of this door's is decided by the routes.

local function refuse(request, reason)
  request:respond({[":status"] = "403", ["content-type"] = "text/plain; charset=utf-8"}, reason .. "\n")
end

function envoy_on_request(request)
  local headers = request:headers()
  if headers:getNumValues("origin") > 1 then
    return refuse(request, "a request has at most one Origin")
  end
  local origin, host = headers:get("origin"), headers:get(":authority")
  if origin and string.match(string.lower(origin), "^https?://(.+)$") ~= string.lower(host or "") then
    return refuse(request, "a page of another origin may not call this host")
  end
  local site = headers:get("sec-fetch-site")
  -- A person who follows a link, or comes back from the login: the answer is shown, and the page that led here does not see it.
  local opens_page = headers:get(":method") == "GET" and headers:get("sec-fetch-mode") == "navigate" and headers:get("sec-fetch-dest") == "document"
  if (site == "cross-site" or site == "same-site") and not opens_page then
    return refuse(request, "a page of another site may not call this host")
  end
end
