// Describes the machine for people to read, as the operating system sees it. Private to runtime/.
#pragma once

#include <string>
#include <vector>

namespace reform {

std::string kernel_name();
std::string cpu_name();
int cores_of_machine();  // online
std::vector<std::string> gpus_seen();

}  // namespace reform
