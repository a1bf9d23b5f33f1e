// Where reform keeps what belongs to the user, by the XDG base directory specification.
#pragma once

#include <string>

namespace reform {

std::string default_cache_dir();  // $XDG_CACHE_HOME/reform, else ~/.cache/reform
std::string default_data_dir();   // $XDG_DATA_HOME/reform, else ~/.local/share/reform

}  // namespace reform
