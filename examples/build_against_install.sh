#!/bin/sh
# Installs a build to a temporary prefix and builds both examples against it, outside the tree: C++ by CMake's
# find_package, C by pkg-config. Checks what the library exports and that every public header stands alone.
#   examples/build_against_install.sh BUILD_DIR [MODEL.gguf TEXT.txt QUESTION]     with a model, runs them too
set -eu
build=${1:?usage: build_against_install.sh BUILD_DIR [MODEL.gguf TEXT.txt QUESTION]}
examples=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --build "$build" --target reform reform_shared
cmake --install "$build" --prefix "$work/prefix" >/dev/null
library=$(find "$work/prefix" -name libreform.so)
lib_dir=$(dirname "$library")
export LD_LIBRARY_PATH="$lib_dir" PKG_CONFIG_PATH="$lib_dir/pkgconfig"

echo "exports: only reform's own names"
exported=$(nm -D --defined-only -C "$library" | sed 's/^[0-9a-f]* . //')
if echo "$exported" | grep -F '::Impl::' || echo "$exported" | grep -vE '^reform(::|_)'; then
  echo "these should be hidden" >&2
  exit 1
fi
echo "$exported" | grep -q '^reform_ask' && echo "$exported" | grep -q '^reform::ask('

echo "headers: each stands alone"
for header in "$work"/prefix/include/reform/*.h; do
  case "$header" in
    */reform.h) cc -std=c99 -Wall -Wextra -pedantic -Werror -fsyntax-only -I"$work/prefix/include" -x c "$header" ;;
  esac
  echo "#include <reform/$(basename "$header")>" |
    c++ -std=c++20 -Wall -Wextra -Werror -fsyntax-only -I"$work/prefix/include" -x c++ -
done

echo "C++: find_package"
cmake -S "$examples/cpp" -B "$work/cpp" -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
cmake --build "$work/cpp" >/dev/null
echo "C: pkg-config"
cp -r "$examples/c" "$work/c"
make -s -C "$work/c"

# Without arguments each explains itself (exit code 2); a file that is not there is code 3.
for program in "$work/cpp/read_and_ask" "$work/c/read_and_ask"; do
  code=0
  "$program" 2>/dev/null || code=$?
  [ "$code" -eq 2 ]
  code=0
  "$program" "$work/none.gguf" "$work/store" "$work/none.txt" "why?" 2>"$work/error" || code=$?
  [ "$code" -eq 3 ] && grep -q none.gguf "$work/error"
done
"$work/prefix/bin/reform" --version

if [ $# -ge 4 ]; then
  "$work/cpp/read_and_ask" "$2" "$work/store" "$3" "$4"
  "$work/c/read_and_ask" "$2" "$work/store" "$3" "$4"
fi
echo "examples: built against the installed library"
