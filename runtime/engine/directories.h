// Where reform keeps what belongs to the user, by the XDG base directory specification. ~ is $HOME, or what the
// system's list of users says.
#pragma once

#include <reform/status.h>

#include <string>

namespace reform {

// "" where no home directory is known: then nothing is cached, and stores must be named.
std::string default_cache_dir();  // $XDG_CACHE_HOME/reform, else ~/.cache/reform
std::string default_data_dir();   // $XDG_DATA_HOME/reform, else ~/.local/share/reform
Status no_data_dir();             // kUsage: what to do about it

}  // namespace reform
