// What the server takes and gives, as OpenAPI 3.1 (serve/openapi.json).
#include "tools/serve/state.h"

namespace reform::tool {
namespace {

constexpr const char* kDescription =
#include "openapi.inc"
    ;

}  // namespace

void openapi(ServerState&, const httplib::Request&, httplib::Response& response) {
  response.set_content(kDescription, "application/json");
}

}  // namespace reform::tool
