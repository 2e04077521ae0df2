// The modelled PostgreSQL that a script can drive, so that it can be held against a real one. A command per line, an answer
// per line:
//
//   open N                    a new connection with this number              .
//   say N HEX, hear N         bytes of the client; what was said since       HEX, and " closed" at the end of the connection
//   terminate N, cancel N                                                    .
//   standby on | off | confirms   commits wait for one; it has everything    .
//   stop immediate | fast, start                                             .
//
// Nothing takes time. Bytes are hexadecimal digits, none are a dot. For tests.
#include "tests/simulation/model_host.hpp"
#include "tests/tools/hex.hpp"

#include <iostream>
#include <map>
#include <sstream>
#include <string>

using namespace pgsteady::simulation;
using pgsteady::testing::decoded;
using pgsteady::testing::encoded;

namespace {

class shell {
public:
    std::string obey(const std::string& line) {
        std::istringstream words(line);
        std::string command;
        std::string argument;
        std::string bytes;
        words >> command >> argument >> bytes;
        if (command == "open") backends_[argument] = &host_.connect();
        else if (command == "say") backends_.at(argument)->receive(decoded(bytes));
        else if (command == "terminate") backends_.at(argument)->terminate();
        else if (command == "cancel") backends_.at(argument)->cancel();
        else if (command == "standby" && argument == "confirms") host_.replicated = host_.storage.flushed();
        else if (command == "standby") host_.waits_for_standby = argument == "on";
        else if (command == "stop" && argument == "fast") host_.stop_fast();
        else if (command == "stop") host_.stop_immediately();
        else if (command == "start") host_.start();
        (void)host_.settle();
        if (command != "say" && command != "hear") return ".";
        model_backend& heard = *backends_.at(argument);
        return encoded(heard.take_output()) + (heard.ended() ? " closed" : "");
    }

private:
    model_host host_;
    std::map<std::string, model_backend*> backends_;
};

}  // namespace

int main() {
    shell all;
    for (std::string line; std::getline(std::cin, line);) std::cout << all.obey(line) << std::endl;
    return 0;
}
