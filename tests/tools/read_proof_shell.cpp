// A read_proof that a script can drive, so that its questions can be put to a real PostgreSQL. One text after another:
//
//   in:  <text>                      out: proven | refuted <reason> | ask <query>
//   in:  <number of rows> or failed, then the rows, values separated by blanks, - for NULL
//                                    out: as above
//
// Texts, queries and values are hexadecimal digits, an empty one is a dot. For tests.
#include "proxy/sql/read_proof.hpp"

#include "tests/tools/hex.hpp"

#include <iostream>
#include <sstream>
#include <string>

using namespace pgsteady;
using pgsteady::testing::decoded;
using pgsteady::testing::encoded;

namespace {

void say(const read_proof& proof) {
    if (proof.now() == read_proof::verdict::ask) std::cout << "ask " << encoded(proof.query()) << std::endl;
    else if (proof.now() == read_proof::verdict::proven) std::cout << "proven" << std::endl;
    else std::cout << "refuted " << proof.reason() << std::endl;
}

std::vector<read_proof::row> read_rows(std::size_t count) {
    std::vector<read_proof::row> rows(count);
    for (read_proof::row& each : rows) {
        std::string line;
        std::getline(std::cin, line);
        std::istringstream values(line);
        for (std::string value; values >> value;)
            each.push_back(value == "-" ? std::nullopt : std::optional(decoded(value)));
    }
    return rows;
}

}  // namespace

int main() {
    for (std::string line; std::getline(std::cin, line);) {
        read_proof proof(classify_statements(decoded(line)));
        say(proof);
        while (proof.now() == read_proof::verdict::ask && std::getline(std::cin, line)) {
            if (line == "failed") proof.failed();
            else proof.answer(read_rows(std::stoul(line)));
            say(proof);
        }
    }
    return 0;
}
