// The console's side of the protocol after sign-in: frames in, commands out; answers in, frames out. Simple queries alone:
// what the extended protocol asks is refused in its own terms. Pure; the peer is hostile until its user is checked, and
// bounded after that: one message of 64 KiB is looked at a time, and nothing is read while a command is being carried out.
#pragma once

#include "proxy/console/command.hpp"
#include "proxy/console/table.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

namespace pgsteady {

class console_conversation {
public:
    static constexpr std::size_t message_max = 64 * 1024;

    enum class step : std::uint8_t {
        need_more,  ///< write `out`, then feed() more bytes
        run,        ///< write `out`, carry out due(), then answer()
        close,      ///< write `out`, then close
    };

    /// What follows AuthenticationOk.
    static void welcome(std::string& out, std::string_view version);

    /// Takes the unread bytes; `used` says how many from the start are used up, the rest must come again with more
    /// behind it. While an answer is due, the same step is returned again.
    [[nodiscard]] step feed(std::string_view in, std::size_t& used, std::string& out);
    /// Only after step::run.
    [[nodiscard]] const console_command& due() const { return queue_.front(); }
    /// An error ends the whole text, as in PostgreSQL.
    void answer(const console_answer& outcome, std::string& out);
    /// A last word; nothing may be written after it.
    static void farewell(const error_fields& why, std::string& out) { append_error_response(out, why); }

private:
    [[nodiscard]] step take(char type, std::string_view body, std::string& out);
    [[nodiscard]] step take_query(std::string_view body, std::string& out);
    void refuse_extended(std::string& out);

    std::deque<console_command> queue_;
    bool skipping_ = false;  // an error was answered: until Sync
};

}  // namespace pgsteady
