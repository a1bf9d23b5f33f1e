#include "tools/serve/access.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "tools/serve/header_value.h"

namespace reform::tool {
namespace {

constexpr size_t kLeastKeyBytes = 16;

// "localhost:8420" -> "localhost", "[::1]:8420" -> "::1"
std::string without_port(std::string_view host) {
  if (host.starts_with('[')) return lower(host.substr(1, host.find(']') - 1));
  return lower(host.substr(0, host.rfind(':')));
}

bool is_address(const std::string& host) {
  in6_addr bytes{};
  return inet_pton(AF_INET, host.c_str(), &bytes) == 1 || inet_pton(AF_INET6, host.c_str(), &bytes) == 1;
}

bool knows(const AccessRules& rules, const std::string& name) {
  return name == "localhost" || is_address(name) ||
         std::ranges::any_of(rules.host_names, [&](const std::string& known) { return lower(known) == name; });
}

// In a time that does not tell how much of it is right.
bool same(std::string_view given, std::string_view key) {
  unsigned differs = given.size() != key.size();
  for (size_t i = 0; i < given.size(); ++i) differs |= unsigned(given[i] ^ key[i % key.size()]);
  return differs == 0;
}

bool has_key(const AccessRules& rules, const std::string& authorization) {
  constexpr std::string_view kScheme = "bearer ";
  if (lower(authorization.substr(0, kScheme.size())) != kScheme) return false;
  const std::string_view given = std::string_view(authorization).substr(kScheme.size());
  bool found = false;
  for (const std::string& key : rules.keys) found = same(given, key) || found;
  return found;
}

std::string_view trimmed(std::string_view line) {
  const auto begin = line.find_first_not_of(" \t\r");
  if (begin == line.npos) return {};
  return line.substr(begin, line.find_last_not_of(" \t\r") - begin + 1);
}

}  // namespace

bool is_loopback(std::string_view host) {
  return host == "localhost" || host == "::1" || (host.starts_with("127.") && is_address(std::string(host)));
}

std::optional<Refusal> refusal(const AccessRules& rules, const Caller& caller) {
  if (!knows(rules, without_port(caller.host)))
    return Refusal{403, "the Host header names a host that this server does not know; --allow-host NAME adds one"};
  if (!caller.origin.empty() && caller.origin != "http://" + caller.host && caller.origin != "https://" + caller.host)
    return Refusal{403, "pages of other sites may not call this server (the Origin header is another than Host)"};
  if (!rules.keys.empty() && !has_key(rules, caller.authorization))
    return Refusal{401, "this server wants a key, as in the header 'Authorization: Bearer KEY'"};
  return std::nullopt;
}

Result<std::vector<std::string>> keys_of(const std::string& text, const std::string& file) {
  std::vector<std::string> keys;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = trimmed(std::string_view(text).substr(begin, end - begin));
    if (!line.empty()) keys.emplace_back(line);
    begin = end + 1;
  }
  if (keys.empty()) return Status{Code::kUsage, file + ": there is no key in it; write one a line"};
  for (size_t i = 0; i < keys.size(); ++i) {
    if (keys[i].size() < kLeastKeyBytes)
      return Status{Code::kUsage, fmt::format("{}: key {} is shorter than {} bytes, so it could be guessed; `openssl "
                                              "rand -hex 24` makes one",
                                              file, i + 1, kLeastKeyBytes)};
  }
  return keys;
}

}  // namespace reform::tool
