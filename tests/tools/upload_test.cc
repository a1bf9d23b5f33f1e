// What clients send to be read, before an engine sees it. The server itself: tests/scripts/serve_contexts_test.py.
#include "tools/serve/upload.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <istream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "tools/serve/multipart.h"
#include "tools/serve/spool.h"

using namespace reform;
using namespace reform::tool;

namespace {

using Parts = std::vector<std::pair<std::string, std::string>>;  // file (or =name), bytes

struct Read {
  Status status;
  Parts parts;
};

// The body in pieces: up to `first` bytes, then `step` at a time.
Read read_parts(const std::string& body, size_t first, size_t step) {
  Read read;
  MultipartReader reader(
      "XyZ",
      [&](const MultipartHead& head) -> Status {
        read.parts.emplace_back(head.is_file ? head.file : "=" + head.name, "");
        return {};
      },
      [&](std::string_view bytes) -> Status {
        read.parts.back().second += bytes;
        return {};
      });
  size_t at = 0;
  for (size_t n = first; at < body.size() && read.status.ok(); at += n, n = step)
    read.status = reader.feed(std::string_view(body).substr(at, n));
  if (read.status.ok()) read.status = reader.finish();
  return read;
}

std::string part(const std::string& disposition, const std::string& bytes) {
  return "--XyZ\r\nContent-Disposition: form-data; " + disposition + "\r\nContent-Type: text/plain\r\n\r\n" + bytes +
         "\r\n";
}

std::string file_of(const std::string& disposition) {
  const Read read = read_parts(part(disposition, "a") + "--XyZ--\r\n", 1000, 1000);
  return read.status.ok() ? read.parts.at(0).first : "!" + read.status.message;
}

std::string temporary_dir() { return std::filesystem::temp_directory_path().string(); }

Spool spool() {
  auto made = Spool::create(temporary_dir(), 1);
  REQUIRE(made.ok());
  return std::move(made).value();
}

struct Taken {
  Status status;
  std::string param;
  Parts texts;
  IngestOptions options;
};

// What becomes of a request with this body.
Taken take(const std::string& type, const std::string& body, const Query& query = {}) {
  const auto form = upload_form(type);
  if (!form.ok()) return {form.status(), "", {}, {}};
  size_t at = 0;
  const ArchiveSource source = [&](char* bytes, size_t size) -> Result<size_t> {
    const size_t n = body.copy(bytes, std::min<size_t>(size, 7), at);
    at += n;
    return n;
  };
  Taken taken;
  const auto upload = take_upload(form.value(), type, query, source, spool(), taken.param);
  taken.status = upload.status();
  if (!upload.ok()) return taken;
  taken.options = upload.value().request.options;
  for (const UploadedText& text : upload.value().texts) {
    SpoolInput input(upload.value().spool, text.begin_byte, text.end_byte);
    std::istream in(&input);
    taken.texts.emplace_back(text.file, std::string(std::istreambuf_iterator<char>(in), {}));
  }
  return taken;
}

constexpr const char* kForm = "multipart/form-data; boundary=XyZ";

}  // namespace

TEST_CASE("upload: a form's files are the same however its bytes come in", "[tools][serve]") {
  const std::string text = "a\r\n--XyY\r\n--\r\n\r\n--Xy\r\n", binary("\0\xff\r\n-", 5);
  const std::string body = "a preamble\r\n" + part("name=\"f\"; filename=\"a.txt\"", text) +
                           part("name=f; filename=b", binary) + part("name=\"f\"; filename=\"c\"", "") +
                           part("name=\"policy\"", "h2o") + "--XyZ--\r\nan epilogue \r\n--XyZ\r\n";
  const Parts want = {{"a.txt", text}, {"b", binary}, {"c", ""}, {"=policy", "h2o"}};
  for (size_t first = 1; first <= body.size(); ++first) {
    const Read read = read_parts(body, first, body.size());
    INFO(first << " " << read.status.message);
    REQUIRE(read.status.ok());
    REQUIRE(read.parts == want);
  }
  for (const size_t step : {1, 2, 3, 7}) CHECK(read_parts(body, step, step).parts == want);
  CHECK(read_parts(body.substr(body.find("--XyZ")), 1, 1).parts == want);                     // no preamble
  CHECK(read_parts(body.substr(0, body.find("--XyZ--") + 7), body.size(), 1).parts == want);  // nor a last line end
}

TEST_CASE("upload: a broken form is refused, and what is held of it is bounded", "[tools][serve]") {
  const std::string whole = part("name=f; filename=a", "text") + "--XyZ--\r\n";
  for (size_t n = 0; n < whole.size() - 2; ++n) {
    INFO(n);
    CHECK(read_parts(whole.substr(0, n), 1000, 1).status.code == Code::kUsage);
  }
  const std::string head = "--XyZ\r\nContent-Disposition: form-data; name=f; filename=a\r\n";
  for (const std::string& body : std::vector<std::string>{
           std::string("--XyZ!\r\n"), "--XyZ" + std::string(100, ' ') + "\r\n", "--XyZ\r\n\r\n" + whole,
           "--XyZ\r\nContent-Type: text/plain\r\n\r\na\r\n--XyZ--",
           "--XyZ\r\nContent-Disposition: attachment; name=f\r\n\r\na\r\n--XyZ--",
           head + "Content-Transfer-Encoding: base64\r\n\r\nYQ==\r\n--XyZ--", head + std::string(10'000, 'a'),
           "--XyZ\r\n" + std::string(10'000, '\n'), std::string("text")}) {
    INFO(body.substr(0, 100));
    CHECK(read_parts(body, 1000, 1000).status.code == Code::kUsage);
  }
  // A boundary that is followed by something else is an error at once, not what is kept until its line ends.
  MultipartReader reader(
      "XyZ", [](const auto&) { return Status{}; }, [](std::string_view) { return Status{}; });
  CHECK_FALSE(reader.feed("--XyZxx").ok());
}

TEST_CASE("upload: a part's file is called as browsers, curl and older clients write it", "[tools][serve]") {
  CHECK(file_of(R"(name="f"; filename="a b;c.txt")") == "a b;c.txt");
  CHECK(file_of(R"(name="f"; filename="a%22b%22.txt")") == "a\"b\".txt");
  CHECK(file_of(R"(name="f"; filename="a\"b.txt")") == "a\"b.txt");
  CHECK(file_of(R"(name="f"; filename="C:\dir\a.txt")") == R"(C:\dir\a.txt)");
  CHECK(file_of("filename=a; name=f") == "a");
  CHECK(file_of("NAME=f; FileName=a") == "a");
  CHECK(file_of("name=f; filename*=UTF-8''na%C3%AFve.txt") == "naïve.txt");
  CHECK(file_of("name=f; filename=\"na_ve\"; filename*=utf-8'en'na%c3%afve") == "naïve");
  CHECK(file_of("name=f; filename=a; filename*=latin1''b") == "a");
  CHECK(file_of("name=f; filename*=UTF-8''%zz%4") == "%zz%4");
  CHECK(file_of("name=f; filename=\"../../etc/passwd\"") == "../../etc/passwd");  // a label, and no path
  CHECK(file_of("name=\"f") == "=f");
  CHECK(file_of("name=f; filename=") == "");
}

TEST_CASE("upload: a boundary has 1 to 70 characters", "[tools][serve]") {
  CHECK(multipart_boundary("multipart/form-data; boundary=a").value() == "a");
  CHECK(multipart_boundary("multipart/form-data; charset=utf-8; Boundary=\"a b\"").value() == "a b");
  CHECK(multipart_boundary("multipart/form-data; boundary=" + std::string(70, 'a')).ok());
  for (const std::string& type : {std::string("multipart/form-data"), std::string("multipart/form-data; boundary="),
                                  "multipart/form-data; boundary=" + std::string(71, 'a'),
                                  std::string("multipart/form-data; boundary=\"a\r\nb\"")})
    CHECK(multipart_boundary(type).status().code == Code::kUsage);
}

TEST_CASE("upload: the three forms give the same texts", "[tools][serve]") {
  const Parts two = {{"a.txt", "one"}, {"b/c.txt", "zwei, drüben"}};
  const Taken json =
      take("application/json; charset=utf-8",
           R"({"texts": [{"file": "a.txt", "text": "one"}, {"file": "b/c.txt", "text": "zwei, drüben"}]})");
  CHECK(json.status.message.empty());
  CHECK(json.texts == two);
  const std::string form = part("name=f; filename=\"a.txt\"", two[0].second) +
                           part("name=f; filename=\"b/c.txt\"", two[1].second) + "--XyZ--\r\n";
  CHECK(take(kForm, form).texts == two);
  CHECK(take("text/plain; charset=UTF-8", "one", {{"file", "a.txt"}}).texts == Parts{two[0]});
}

TEST_CASE("upload: options are those of the command, by its ranges, and others are refused by name", "[tools][serve]") {
  const auto refused = [](const std::string& more) {
    return take("application/json", R"({"texts": [{"file": "a", "text": "b"}])" + more + "}").param;
  };
  CHECK(refused("").empty());
  const Taken taken = take("text/plain", "b",
                           {{"file", "1"},
                            {"policy", "recent"},
                            {"chunk_tokens", "128"},
                            {"lossy", "true"},
                            {"checkpoint_seconds", "2.5"},
                            {"append", "true"},
                            {"encoding", "UTF-16"}});
  CHECK(taken.status.message.empty());
  CHECK(taken.texts == Parts{{"1", "b"}});
  CHECK(taken.options.chunk_tokens == 128);
  CHECK(taken.options.lossy);
  CHECK(taken.options.checkpoint_seconds == 2.5);
  CHECK(taken.options.on_existing == IngestOptions::OnExisting::kAppend);
  CHECK(taken.options.chosen == std::set<std::string>{"policy", "chunk_tokens"});
  CHECK(refused(R"(, "chunk_tokens": 63)") == "chunk_tokens");
  CHECK(refused(R"(, "cache_tokens": "auto")") == "cache_tokens");
  CHECK(refused(R"(, "pages": 1)") == "pages");
  CHECK(refused(R"(, "append": true, "replace": true)") == "replace");
  CHECK(refused(R"(, "path": "/etc/passwd")") == "path");
  CHECK(refused(R"(, "heads": "heads.json")") == "heads");
  CHECK(take("application/json", R"({"texts": [{"file": "a", "text": "b"}], "policy": "none of them"})").status.code ==
        Code::kUsage);
  CHECK(take("text/plain", "b", {{"file", "a"}, {"chunk_tokens", "many"}}).param == "chunk_tokens");
  CHECK(take("text/plain", "b", {{"file", "a"}, {"made_up", "1"}}).param == "made_up");
  CHECK(take("text/plain", "b", {{"file", "a"}, {"file", "b"}}).status.code == Code::kUsage);
  CHECK(take("application/json", R"({"texts": [{"file": "a", "text": "b"}]})", {{"append", "true"}}).param == "append");
  CHECK(take(kForm, part("name=policy", "h2o") + "--XyZ--").status.code == Code::kUsage);
  CHECK(take(kForm, "--XyZ--", {{"file", "a"}}).param == "file");
}

TEST_CASE("upload: a text has a name that can be shown, and there is at least one", "[tools][serve]") {
  const auto as = [](const std::string& file) { return take("text/plain", "b", {{"file", file}}).status.code; };
  for (const std::string& file :
       {std::string("../x"), std::string("/etc/passwd"), std::string("-"), std::string("naïve"), std::string(512, 'a')})
    CHECK(as(file) == Code::kOk);
  for (const std::string& file : {std::string(), std::string("a\0b", 3), std::string("a\nb"), std::string("\xff"),
                                  std::string("a\u202e b"), std::string(513, 'a')})
    CHECK(as(file) == Code::kUsage);
  for (const char* body :
       {"{}", R"({"texts": []})", R"({"texts": "a"})", R"({"texts": ["a"]})", R"({"texts": [{"text": "a"}]})",
        R"({"texts": [{"file": "a", "text": 1}]})", R"({"texts": [{"file": "a", "text": "b", "path": "c"}]})",
        R"({"texts": [{"file": "\u0000", "text": ""}]})", "text"}) {
    INFO(body);
    CHECK(take("application/json", body).status.code == Code::kUsage);
  }
  CHECK(take(kForm, "--XyZ--").status.code == Code::kUsage);
  CHECK(take("application/x-www-form-urlencoded", "a=b").status.code == Code::kUsage);
  CHECK(take("text/plain; charset=latin1", "b", {{"file", "a"}}).status.code == Code::kUsage);
  CHECK(take("text/plain; charset=\"us-ascii\"", "b", {{"file", "a"}}).status.ok());
}

TEST_CASE("upload: a spool has no name, and says when the disk is too small", "[tools][serve]") {
  const std::filesystem::path dir = std::filesystem::path(temporary_dir()) / "reform-spool-test";
  std::filesystem::create_directory(dir);
  {
    auto made = Spool::create(dir.string(), 3);
    REQUIRE(made.ok());
    REQUIRE(made.value().append("one").ok());
    REQUIRE(made.value().append(" two").ok());
    CHECK(std::filesystem::is_empty(dir));
    char bytes[16];
    CHECK(made.value().read(4, bytes, sizeof bytes).value() == 3);
    CHECK(std::string(bytes, 3) == "two");
    CHECK(made.value().read(7, bytes, sizeof bytes).value() == 0);
    SpoolInput beyond(made.value(), 4, 9);  // half a text must not pass for the whole
    std::istream in(&beyond);
    char more[9];
    in.read(more, sizeof more);
    CHECK(in.bad());
  }
  CHECK(Spool::create(dir.string(), int64_t{1} << 60).status().code == Code::kNoSpace);
  CHECK(Spool::create((dir / "nowhere").string(), 1).status().code == Code::kNotFound);
  std::filesystem::remove(dir);
}
