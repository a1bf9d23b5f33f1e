#include "tools/serve/multipart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <optional>

#include "tools/serve/header_value.h"

namespace reform::tool {
namespace {

constexpr size_t kMostBoundaryBytes = 70;  // RFC 2046
constexpr size_t kMostPartHeadBytes = 8 << 10;
constexpr size_t kMostPadding = 64;

Status broken(const std::string& what) { return {Code::kUsage, "the multipart body is broken: " + what}; }

// Of "UTF-8''na%C3%AFve.txt", as older clients write a name that is not ASCII. nullopt: it is another form.
std::optional<std::string> extended_value(const std::string& value) {
  const size_t quote = value.find('\'');
  const size_t begin = quote == value.npos ? quote : value.find('\'', quote + 1);
  if (begin == value.npos || lower(value.substr(0, quote)) != "utf-8") return std::nullopt;
  std::string text;
  for (size_t i = begin + 1; i < value.size(); ++i) {
    const auto hex = [&](size_t at) { return at < value.size() && std::isxdigit((unsigned char)value[at]) != 0; };
    if (value[i] == '%' && hex(i + 1) && hex(i + 2)) {
      text += char(std::stoi(value.substr(i + 1, 2), nullptr, 16));
      i += 2;
    } else {
      text += value[i];
    }
  }
  return text;
}

Result<MultipartHead> head_of(std::string_view lines) {
  HeaderValue disposition;
  while (!lines.empty()) {
    const std::string_view line = lines.substr(0, lines.find("\r\n"));
    lines.remove_prefix(std::min(line.size() + 2, lines.size()));
    const size_t colon = std::min(line.find(':'), line.size());
    const std::string field = lower(line.substr(0, colon));
    const HeaderValue header = header_value(line.substr(std::min(colon + 1, line.size())));
    const bool is_plain = header.value == "binary" || header.value == "8bit" || header.value == "7bit";
    if (field == "content-transfer-encoding" && !is_plain)
      return broken("a part is encoded; its bytes must come as they are");
    if (field == "content-disposition") disposition = header;
  }
  if (disposition.value != "form-data" || !disposition.has("name")) return broken("a part has no name");
  MultipartHead head{disposition.get("name"), disposition.get("filename"),
                     disposition.has("filename") || disposition.has("filename*")};
  // Browsers write a quote so (https://html.spec.whatwg.org/#multipart-form-data).
  for (size_t at = head.file.find("%22"); at != head.file.npos; at = head.file.find("%22", at + 1))
    head.file.replace(at, 3, "\"");
  head.file = extended_value(disposition.get("filename*")).value_or(head.file);
  return head;
}

}  // namespace

Result<std::string> multipart_boundary(const std::string& content_type) {
  std::string boundary = header_value(content_type).get("boundary");
  const bool is_plain = std::ranges::all_of(boundary, [](char c) { return c >= ' ' && c <= '~'; });
  if (boundary.empty() || boundary.size() > kMostBoundaryBytes || !is_plain)
    return Status{Code::kUsage,
                  fmt::format("Content-Type: expected a boundary of 1 to {} characters", kMostBoundaryBytes)};
  return boundary;
}

Status MultipartReader::feed(std::string_view bytes) {
  buffer_.erase(0, at_);
  at_ = 0;
  buffer_ += bytes;
  for (;;) {
    const Result<bool> further = step();
    if (!further.ok()) return further.status();
    if (!further.value()) return {};
  }
}

Status MultipartReader::finish() const {
  if (state_ == State::kEnd) return {};
  return broken("its last boundary is missing");
}

Result<bool> MultipartReader::step() {
  switch (state_) {
    case State::kPreamble:
    case State::kBody:
      return find_delimiter();
    case State::kBoundary:
      return pass_boundary();
    case State::kHead:
      return take_head();
    case State::kEnd:  // what follows means nothing
      at_ = buffer_.size();
      return false;
  }
  return false;
}

// What may be the beginning of a delimiter waits.
Result<bool> MultipartReader::find_delimiter() {
  const std::string_view rest = waiting();
  const size_t found = rest.find(delimiter_);
  const bool is_found = found != rest.npos;
  const size_t n = is_found ? found : rest.size() - std::min(rest.size(), delimiter_.size() - 1);
  if (n > 0 && state_ == State::kBody) {
    if (Status s = on_bytes_(rest.substr(0, n)); !s.ok()) return s;
  }
  at_ += n + (is_found ? delimiter_.size() : 0);
  if (is_found) state_ = State::kBoundary;
  return is_found;
}

Result<bool> MultipartReader::pass_boundary() {
  std::string_view rest = waiting();
  if (rest.size() < 2) return false;
  if (rest.starts_with("--")) {
    state_ = State::kEnd;
    return true;
  }
  const size_t padding = std::min(rest.find_first_not_of(" \t"), rest.size());
  rest.remove_prefix(padding);
  if (padding > kMostPadding || (!rest.empty() && rest[0] != '\r') || (rest.size() > 1 && rest[1] != '\n'))
    return broken("what follows a boundary is no end of a line");
  if (rest.size() < 2) return false;
  at_ += padding + 2;
  state_ = State::kHead;
  return true;
}

Result<bool> MultipartReader::take_head() {
  const std::string_view rest = waiting();
  if (rest.starts_with("\r\n")) return broken("a part has no name");
  const size_t end = rest.find("\r\n\r\n");
  if (std::min(end, rest.size()) > kMostPartHeadBytes) return broken("the head of a part is too long");
  if (end == rest.npos) return false;
  const auto head = head_of(rest.substr(0, end));
  if (!head.ok()) return head.status();
  if (Status s = on_head_(head.value()); !s.ok()) return s;
  at_ += end + 4;
  state_ = State::kBody;
  return true;
}

}  // namespace reform::tool
