// Who may call the server. A page in a browser must not reach it: neither by a name that an attacker's DNS points here
// (the Host header), nor from another site (the Origin header).
#pragma once

#include <reform/status.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace reform::tool {

struct AccessRules {
  std::vector<std::string> host_names;  // beside addresses and localhost, which no DNS can point elsewhere
  std::vector<std::string> keys;        // empty: none is asked for
};

// What a request says of itself; "": nothing.
struct Caller {
  std::string host, origin, authorization;
};

struct Refusal {
  int http_status = 0;
  std::string message;
};

std::optional<Refusal> refusal(const AccessRules& rules, const Caller& caller);

// One key a line; white space around it does not count. kUsage: the file has none, or one that is too short to be safe.
Result<std::vector<std::string>> keys_of(const std::string& text, const std::string& file);

bool is_loopback(std::string_view host);

}  // namespace reform::tool
