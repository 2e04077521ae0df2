// Conversations as text files (tests/scenarios): what a client sends, one message per line, in the language
// of tests/differential. The expectation is not in the file: it is what the scripted server answers directly.
//
//   # text          comment
//   startup: a=b    a startup parameter
//   servers: 1      how many servers the pool has (default: two)
//   ends            the server or the session may end the connection
//   Q "sql" · P name "sql" [23] · B portal name ["value", null] · D S name · D P portal · E portal 10
//   C S name · H · S · d "data" · c · f "reason" · F 177
//   Z               the client waits for what it has asked for before it goes on
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgsteady::testing {

struct scenario {
    std::string name;
    std::vector<std::pair<std::string, std::string>> startup;
    std::size_t servers = 2;
    bool may_end = false;
    std::vector<std::string> steps;  ///< bytes sent without waiting in between

    [[nodiscard]] std::string whole() const {
        std::string all;
        for (const std::string& step : steps) all += step;
        return all;
    }
};

/// Throws std::runtime_error that names the line if the text is not in the language.
[[nodiscard]] scenario read_scenario(const std::string& name, std::string_view text);
/// All files of tests/scenarios, by name.
[[nodiscard]] std::vector<scenario> all_scenarios(const std::string& folder);

/// Checks that what a server says answers, in the protocol's grammar, what a client has sent; shares no code
/// with the proxy's own tracker. `problem`: the first violation, or empty.
class wire_checker {
public:
    void client_sends(std::string_view frames);
    void server_says(std::string_view frames);
    /// Everything sent has been answered.
    void at_rest();

    std::string problem;
    std::vector<std::string> sqlstates;  ///< of all errors, in order
    bool ended = false;                  ///< by a FATAL error
    char status = 'I';
    std::size_t readies = 0;

private:
    void answer(char type, std::string_view body);
    void fail(const std::string& what, char type);
    void drop_copy_data();

    std::string owed_;  // types of client messages not yet answered
    bool errored_ = false;
    bool copying_ = false;
};

}  // namespace pgsteady::testing
