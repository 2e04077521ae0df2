#include "config/text_file.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <system_error>

namespace pgsteady::config {

file_text read_text_file(const std::filesystem::path& path, std::size_t most_bytes) {
    std::error_code failure;
    if (std::filesystem::is_directory(path, failure)) return {{}, "it is a directory"};
    errno = 0;
    std::ifstream stream(path, std::ios::binary);
    if (!stream) return {{}, std::strerror(errno)};
    std::string text(most_bytes + 1, '\0');
    stream.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (stream.bad()) return {{}, std::strerror(errno)};
    text.resize(static_cast<std::size_t>(stream.gcount()));
    return {std::move(text), {}};
}

}  // namespace pgsteady::config
