// REFORM_API marks what libreform.so exports; everything else is hidden.
#pragma once

#define REFORM_API __attribute__((visibility("default")))
#define REFORM_HIDDEN __attribute__((visibility("hidden")))  // a part of an exported class that is not exported
