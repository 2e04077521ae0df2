// What operators have said about whole databases, for pools and clients that are yet to come: paused, disabled.
// Thread-safe; looked at when a pool is made and when a client signs in, never per message. Owned by proxy_state.
#pragma once

#include <atomic>
#include <cstddef>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteady {

class database_marks {
public:
    /// Names that are remembered of each kind; operators alone bring them.
    static constexpr std::size_t most = 1000;

    /// An empty name: all databases, and what was said of single ones is forgotten. False: too many names.
    [[nodiscard]] bool pause(const std::string& database);
    [[nodiscard]] bool resume(const std::string& database);
    [[nodiscard]] bool paused(std::string_view database) const;

    [[nodiscard]] bool disable(const std::string& database);
    void enable(const std::string& database);
    [[nodiscard]] bool disabled(std::string_view database) const;

    struct value {
        bool all_paused = false;  ///< and none was resumed by its name
        std::vector<std::string> paused;
        std::vector<std::string> disabled;
    };
    [[nodiscard]] value now() const;

private:
    mutable std::mutex mutex_;
    std::atomic<bool> any_ = false;  // something is set: else nobody takes the lock
    bool all_paused_ = false;
    std::set<std::string, std::less<>> paused_;
    std::set<std::string, std::less<>> resumed_;  // although all are paused
    std::set<std::string, std::less<>> disabled_;
};

}  // namespace pgsteady
