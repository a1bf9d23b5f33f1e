# What every target of ours is compiled with. An embedding project is not bound by the warnings.
add_library(reform_options INTERFACE)
target_include_directories(reform_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(reform_options INTERFACE $<$<COMPILE_LANGUAGE:C,CXX>:-ffp-contract=off>)
if(REFORM_WARNINGS)
  target_compile_options(reform_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wshadow;-Werror>
    $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-restrict>
    $<$<COMPILE_LANG_AND_ID:CXX,Clang>:-Wno-unknown-warning-option>)  # pragmas that silence g++ alone
endif()
if(REFORM_SANITIZE)
  target_compile_options(reform_options INTERFACE -fsanitize=${REFORM_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all
    $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-maybe-uninitialized>)  # g++ 12 suspects std::regex's own code in such builds
  target_link_options(reform_options INTERFACE -fsanitize=${REFORM_SANITIZE})
endif()
if(REFORM_FUZZ)  # every target counts the branches it takes; only fuzz targets link the fuzzer itself
  target_compile_options(reform_options INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(reform_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
