# Puts the page together: style.css and the scripts go into index.html, and the whole into a C++ source as bytes.
# Run at build time:  cmake -D FOLDER=… -D OUTPUT=… -P embed.cmake
# The scripts are one after the other in one module, in the order of the alphabet; none may begin before the last is there
# but 90_main.js.

cmake_minimum_required(VERSION 3.25)

function(read_bytes name file)
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  set(${name} "${bytes}" PARENT_SCOPE)
endfunction()

file(READ ${FOLDER}/index.html page)
file(READ ${FOLDER}/style.css style)
file(GLOB scripts ${FOLDER}/*.js)
list(SORT scripts)
set(script "")
foreach(each IN LISTS scripts)
  file(READ ${each} text)
  string(APPEND script "${text}")
endforeach()
string(REPLACE "@style@" "${style}" page "${page}")
string(REPLACE "@script@" "${script}" page "${page}")

get_filename_component(folder ${OUTPUT} DIRECTORY)
file(WRITE ${folder}/page.html "${page}")
read_bytes(page_bytes ${folder}/page.html)
read_bytes(schema_bytes ${FOLDER}/schemas.json)
file(WRITE ${OUTPUT} "// Made from admin/page/ by admin/page/embed.cmake.
#include \"admin/page.hpp\"

namespace pgsteady::admin {
namespace {
constexpr unsigned char page[] = {${page_bytes}};
constexpr unsigned char schemas[] = {${schema_bytes}};
}  // namespace

std::string_view page_html() { return {reinterpret_cast<const char*>(page), sizeof page}; }
std::string_view page_schemas() { return {reinterpret_cast<const char*>(schemas), sizeof schemas}; }

}  // namespace pgsteady::admin
")
