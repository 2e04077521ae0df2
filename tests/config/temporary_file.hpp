// A file with the text that a test gives it, removed at the end of the test.
#pragma once

#include <doctest/doctest.h>

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

class temporary_file {
public:
    explicit temporary_file(std::string_view text) {
        std::string pattern = (std::filesystem::temp_directory_path() / "pgsteady-config-XXXXXX").string();
        const int handle = mkstemp(pattern.data());
        REQUIRE(handle >= 0);
        close(handle);
        path_ = pattern;
        std::ofstream(path_, std::ios::binary) << text;
    }
    temporary_file(const temporary_file&) = delete;
    temporary_file& operator=(const temporary_file&) = delete;
    ~temporary_file() { std::remove(path_.c_str()); }
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    std::string path_;
};
