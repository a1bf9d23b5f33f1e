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
    # Libraries that are all headers are not checked: it would take the compiler a third of its time.
    $<$<COMPILE_LANG_AND_ID:CXX,Clang>:-fsanitize-ignorelist=${PROJECT_SOURCE_DIR}/cmake/unchecked_headers.txt>
    $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-maybe-uninitialized>)  # g++ 12 suspects std::regex's own code in such builds
  target_link_options(reform_options INTERFACE -fsanitize=${REFORM_SANITIZE})
endif()
# reform_fuzzed(REGEX SOURCE...): those that match read bytes from outside. In a build with fuzz targets they count the
# branches they take, for the fuzzer to see; the rest, the kernels above all, loses no time to it.
function(reform_fuzzed regex)
  if(REFORM_FUZZ)
    set(files ${ARGN})
    list(FILTER files INCLUDE REGEX ${regex})
    set_property(SOURCE ${files} APPEND PROPERTY COMPILE_OPTIONS -fsanitize=fuzzer-no-link)
  endif()
endfunction()
# reform_unity(TARGET...): where a sanitizer is built in, and where fewer units are asked for, several files are compiled as
# one, for more than half of the compiler's time goes into headers. So no two files of a library may give the same name to
# different things, not even in namespaces without a name. The other builds compile file by file, and show a missing include.
function(reform_unity)
  if(REFORM_SANITIZE OR REFORM_FEWER_UNITS)
    set_target_properties(${ARGN} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
    foreach(target IN LISTS ARGN)  # g++ takes the sources for headers, which should have nothing that others cannot name
      target_compile_options(${target} PRIVATE $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-subobject-linkage>)
    endforeach()
  endif()
endfunction()
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
