// Fuzzes the configuration: the file, and after a NUL byte the text of DATABASE_URL. Nothing may throw, and what loads
// without errors and without secrets must survive being printed and loaded again.

#include "config/print.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>

using namespace pgsteady::config;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view in(reinterpret_cast<const char*>(data), size);
    const auto split = in.find('\0');
    environment variables;
    if (split != std::string_view::npos) variables["DATABASE_URL"] = in.substr(split + 1);

    const load_result loaded = load_text(in.substr(0, split), "fuzz", variables);
    for (const auto& found : loaded.problems) {
        if (describe(found).empty()) std::abort();
    }
    if (!loaded.ok() && size % 16 != 0) return 0;  // most inputs are bad, and printing costs more than loading
    const std::string text = print(loaded);
    if (!loaded.ok() || text.find("\"(set)\"") != std::string::npos) return 0;
    const load_result again = load_text(text, "printed", {});
    if (!again.ok() || again.settings != loaded.settings) std::abort();
    return 0;
}
