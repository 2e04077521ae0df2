// A file's text, bounded: a device that never ends or a wrong path can neither fill the memory nor stop the start.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

namespace pgsteady::config {

struct file_text {
    std::string text;     ///< at most one byte over the limit, so that who asked can tell
    std::string problem;  ///< empty: it was read
};

[[nodiscard]] file_text read_text_file(const std::filesystem::path& path, std::size_t most_bytes);

}  // namespace pgsteady::config
