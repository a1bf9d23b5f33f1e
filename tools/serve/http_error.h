// Errors as OpenAI's clients read them: {"error": {"message", "type", "param", "code"}}.
#pragma once

#include <reform/status.h>

#include <string>

#include "tools/json_output.h"

namespace reform::tool {

int http_status(Code code);
// `param`: the field that is wrong; "": none.
Json error_body(int http_status, const std::string& message, const std::string& code_name,
                const std::string& param = "");
std::string told(const Status& status);  // its message, as clients may see it
Json error_body(const Status& status);

}  // namespace reform::tool
