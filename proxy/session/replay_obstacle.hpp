// Whether a transaction that died with its server can be given to another one statement by statement (recovery.md 2.5): what
// each text has done beyond the transaction, or would do twice, is an obstacle and has a name for the client's error. What a
// function of the database's own does is not seen (pool.opaque_functions). Reads texts, guesses nothing: what is not
// understood is an obstacle. Pure; asked after a loss only.
#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <string_view>

namespace pgsteady {

/// Why a transaction is not given again, if nothing more may be sent again for now (recovery.md 2.11); to follow "it".
inline constexpr std::string_view budget_is_used_up = "the retry budget is used up";

class replay_judge {
public:
    /// `begun` false: the first text must be the BEGIN.
    explicit replay_judge(bool begun) : begun_(begun) {}

    /// The next text that was executed, or may have been. False: there is an obstacle now.
    bool take(std::string_view text);
    /// The first one, to follow "the transaction"; empty: none.
    [[nodiscard]] const std::string& obstacle() const { return obstacle_; }
    /// A savepoint was set: a failed transaction may live on.
    [[nodiscard]] bool savepoints() const { return savepoints_; }

    static constexpr std::size_t max_texts = 1024;  ///< different ones, each of which is parsed
    static constexpr std::size_t max_text_bytes = 256U * 1024U;

private:
    bool refuse(std::string_view why);
    bool read(std::string_view text);

    bool begun_;
    bool savepoints_ = false;
    std::size_t bytes_ = 0;
    std::set<std::string, std::less<>> seen_;
    std::string obstacle_;
};

}  // namespace pgsteady
