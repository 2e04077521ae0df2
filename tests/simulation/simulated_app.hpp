// An application at the other end of a session: it works through tasks that the seed draws (single writes, transactions,
// pipelines, savepoints, COPY, reads, settings), reacts to errors as a sane application does, and holds every answer against
// the protocol and against what it must believe. For tests.
#pragma once

#include "tests/simulation/world.hpp"
#include "tests/support/belief.hpp"
#include "tests/support/scenario.hpp"

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>

namespace pgsteady::simulation {

class simulated_app {
public:
    struct planned {
        testing::app_request what;
        bool in_block = false;   ///< makes sense only in the transaction that is open
        bool with_next = false;  ///< the next one is sent without waiting for the answer
        std::string wanted;      ///< the first column of the first row; "series": of all of them
        std::string sets;        ///< work_mem, from now on
        std::string fails{};     ///< with this SQLSTATE, unless its transaction is lost
    };

    /// `tasks`: how many it does before it is finished; `idles`: for so long at most between requests, now and then.
    simulated_app(world& at, std::uint32_t number, std::uint32_t tasks, micros idles = 0);
    simulated_app(const simulated_app&) = delete;
    simulated_app& operator=(const simulated_app&) = delete;

    void begin();
    [[nodiscard]] bool finished() const { return finished_; }
    /// The connection is given up without a word, as by a crash of the application; it comes back with a new one.
    void vanish();
    /// Everything is over: what is true, in the end?
    void judge(const model_storage& truth, const std::set<std::string>& excused);
    [[nodiscard]] std::string state() const;

    /// What was told how often, by SQLSTATE; "" counts requests without an error.
    std::map<std::string, std::size_t> told;
    std::size_t disconnects = 0;

    /// Given instead of drawn tasks.
    std::deque<std::vector<planned>> script;
    std::unique_ptr<simulated_client> client;
    std::uint32_t transfers_among = 0;  ///< set: only transfers, between so many accounts

private:
    void connect();
    void go_on();
    void draw_task();
    void draw_transfer(bool pipelined);
    void draw_savepoints();
    void draw_pipeline();
    void draw_chain();
    void draw_notes();
    void draw_series();
    void send(planned next);
    void hear(std::string_view bytes);
    void hear_reply(const testing::app_reply& got);
    void check_series(const testing::app_reply& got);
    void hear_end();
    void fail(const std::string& what);
    void plan(std::string bytes, std::vector<std::string> rows = {}, bool in_block = false, bool with_next = false);
    [[nodiscard]] std::string new_row();

    world& world_;
    std::uint32_t number_;
    std::uint32_t tasks_;
    micros idles_;
    dice chance_;
    std::deque<planned> plan_;
    std::deque<planned> asked_;
    std::string heard_;
    testing::app_reply reply_;
    bool welcome_ = false;
    bool closed_ = false;
    bool finished_ = false;
    char status_ = 'I';
    std::uint32_t rows_ = 0;
    std::string work_mem_ = "4MB";
    bool work_mem_known_ = true;
    std::set<std::string> never_;  // rows that were rolled back to a savepoint
    testing::wire_checker checker_;
    testing::application beliefs_;
    std::uint64_t connection_ = 0;
};

/// What log and balances say about each other: every transfer is there whole, once, or not at all (I4, T10).
[[nodiscard]] std::string balance_problem(const model_storage& truth);

}  // namespace pgsteady::simulation
