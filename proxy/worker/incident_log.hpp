// The incidents of one worker: failures that clients meet, or are spared, each with a number that stands in the client's
// error (DETAIL incident=…), at the head of its line in the log, and on the admin port.
// Used when something fails and at no other time. Keeps the latest, never more than it is allowed. Owned by the worker,
// on its thread; what it keeps may be read by others, for it does not change.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>

namespace pgsteady {

struct told_incident {
    std::uint64_t serial = 0;  ///< from 1, without gaps, of one worker
    std::string number;        ///< what clients and the log call it
    std::chrono::system_clock::time_point when{};
    std::string what;  ///< a sentence, printable and short
};

class incident_log {
public:
    using list = std::deque<std::shared_ptr<const told_incident>>;

    explicit incident_log(unsigned worker) : worker_(worker) {}

    /// For what nobody is told of but the log.
    [[nodiscard]] std::string take_number();
    /// Writes one line to the log, whose rate `kind` limits (log.hpp), and keeps the latest `most`. Its number.
    [[nodiscard]] std::string tell(std::string_view kind, std::string_view what, std::size_t most);

    /// The oldest first.
    [[nodiscard]] const list& latest() const { return latest_; }

private:
    unsigned worker_;
    std::uint64_t next_ = 1;
    std::uint64_t told_ = 0;
    list latest_;
};

}  // namespace pgsteady
