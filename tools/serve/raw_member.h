// A member's text as a client wrote it: parsed objects do not keep the order of their members.
#pragma once

#include <string_view>

namespace reform::tool {

// Of an object in JSON that was parsed before, so it is sound. "": it has no member whose name is spelled so. Of
// several the last, as parsing has it.
std::string_view raw_member(std::string_view object, std::string_view name);

}  // namespace reform::tool
