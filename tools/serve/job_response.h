// How the client gets what comes of a job: whole, or as a stream of server-sent events.
#pragma once

#include <httplib.h>

#include <memory>
#include <string>

#include "tools/json_output.h"
#include "tools/serve/job.h"
#include "tools/serve/seats.h"

namespace reform::tool {

std::string sse(const Json& json);
inline constexpr const char* kLastEvent = "data: [DONE]\n\n";  // of a stream that ended well

// JSON; what the job tells on the way is left out.
void send_whole(Seats::Seat& seat, Job::Run run, httplib::Response& response);
// All that the job tells and what came of it must be events. `opening`: the first one, or ""; it is sent once the job
// has told something, or has run for a while: an error before that has an HTTP status of its own.
void send_stream(std::shared_ptr<Seats::Seat> seat, Job::Run run, std::string opening, httplib::Response& response);

}  // namespace reform::tool
