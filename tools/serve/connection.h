// One connection of the server. It serves one request, and reads no more than that may have: neither bytes nor time.
#pragma once

#include <httplib.h>
#include <reform/cancel.h>
#include <reform/status.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace reform::tool {

struct ConnectionLimits {
  int64_t head_bytes = 0;
  std::chrono::seconds request_time{60};  // until it has come
  int64_t upload_bytes_per_s = 64 << 10;  // what an upload must have beyond that, on the whole
  std::chrono::seconds idle{10};          // without a byte of it
  std::chrono::seconds write{30};         // until the client takes a piece of the response
  std::chrono::seconds rest{2};           // for the rest of a body that nobody wants
};

class Connection : public httplib::Stream {
 public:
  Connection(int fd, const ConnectionLimits& limits) : fd_(fd), limits_(limits), n_left_(limits.head_bytes) {}

  ~Connection() override;  // closes it
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  bool is_readable() const override;
  bool is_writable() const override { return !client_is_gone(); }
  ssize_t read(char* bytes, size_t size) override;
  ssize_t write(const char* bytes, size_t size) override;
  void get_remote_ip_and_port(std::string& ip, int& port) const override { ip.clear(), port = 0; }
  void get_local_ip_and_port(std::string& ip, int& port) const override { ip.clear(), port = 0; }
  int socket() const override { return fd_; }

  bool client_is_gone() const;

  // Once the head has come: how much of a body there is to be read. An upload may take longer, the more of it comes.
  void expect_body(int64_t bytes, bool is_upload);
  // Of a body that the library has not read. 0: that was all. kUsage: it broke off. kCancelled.
  Result<size_t> read_body(char* bytes, size_t size, const CancelToken& cancel);

 private:
  bool wait(short events, std::chrono::milliseconds most) const;
  void count(std::string_view bytes);
  void drop_rest();

  const int fd_;
  const ConnectionLimits limits_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  int64_t n_left_;            // of the head, then of the body
  int64_t n_body_bytes_ = 0;  // that were read
  bool is_in_head_ = true, is_upload_ = false;
  char last_ = 0;  // of the head's bytes, carriage returns left out
};

}  // namespace reform::tool
