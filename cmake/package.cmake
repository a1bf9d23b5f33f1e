# libreform.so, and what `cmake --install` puts where: headers, library, CMake package and pkg-config file.
# An embedding project needs nothing but these headers: RocksDB, fmt and the rest are private to the library.
include(CMakePackageConfigHelpers)

# The same objects as the static library the tests link.
add_library(reform_shared SHARED $<TARGET_OBJECTS:reform_runtime>)
set_target_properties(reform_shared PROPERTIES OUTPUT_NAME reform EXPORT_NAME reform LINKER_LANGUAGE CXX
                      VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
                      LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib
                      LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/reform.map)
get_target_property(runtime_libraries reform_runtime LINK_LIBRARIES)
target_link_libraries(reform_shared PRIVATE ${runtime_libraries})
target_link_options(reform_shared PRIVATE -Wl,--no-undefined -Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/reform.map)
target_compile_features(reform_shared INTERFACE cxx_std_20)
target_include_directories(reform_shared INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)

install(TARGETS reform_shared EXPORT reform_targets)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/base/include/reform ${PROJECT_SOURCE_DIR}/runtime/include/reform
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")

set(cmake_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/reform)
install(EXPORT reform_targets NAMESPACE reform:: FILE reformTargets.cmake DESTINATION ${cmake_package_dir})
file(WRITE ${CMAKE_BINARY_DIR}/reformConfig.cmake "include(\"\${CMAKE_CURRENT_LIST_DIR}/reformTargets.cmake\")\n")
write_basic_package_version_file(${CMAKE_BINARY_DIR}/reformConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/reformConfig.cmake ${CMAKE_BINARY_DIR}/reformConfigVersion.cmake
        DESTINATION ${cmake_package_dir})

# The .pc file finds its prefix from where it lies, so that an installed tree can be moved.
file(RELATIVE_PATH REFORM_PC_TO_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(${PROJECT_SOURCE_DIR}/cmake/reform.pc.in ${CMAKE_BINARY_DIR}/reform.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/reform.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
