// What the operating system says of the machine, for people. Private to runtime/.
#pragma once

#include <string>
#include <vector>

namespace reform {

std::string kernel_name();
std::string cpu_name();
int cores_of_machine();  // online
std::vector<std::string> gpus_seen();

}  // namespace reform
