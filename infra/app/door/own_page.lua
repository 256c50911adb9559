-- Only the page that a host gave out speaks to it: not a page of another site in the same browser, and no page of another port.
-- Whether the Host is one of this door's is decided by the routes. The application gets the request without what the browser shows to Google's login.

local function refuse(request, reason)
  request:respond({[":status"] = "403", ["content-type"] = "text/plain; charset=utf-8"}, reason .. "\n")
end

-- What the browser shows to Google's login is nobody else's business: with it, an application could be this person at another host of the same load balancer.
local function without_login(headers)
  local kept = {}
  for cookie in string.gmatch(headers:get("cookie") or "", "[^;]+") do
    if not string.find(string.upper(cookie), "GCP_IAA?P") then
      table.insert(kept, (string.gsub(cookie, "^%s+", "")))
    end
  end
  if #kept > 0 then
    headers:replace("cookie", table.concat(kept, "; "))
  else
    headers:remove("cookie")
  end
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
  without_login(headers)
end
