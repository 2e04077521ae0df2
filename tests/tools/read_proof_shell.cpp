// A read_proof that a script can drive, so that its questions can be put to a real PostgreSQL. One text after another:
//
//   in:  <text>                      out: proven | refuted <reason> | ask <query>
//   in:  <number of rows> or failed, then the rows, values separated by blanks, - for NULL
//                                    out: as above
//
// Texts, queries and values are hexadecimal digits, an empty one is a dot. For tests.
#include "proxy/sql/read_proof.hpp"

#include <iostream>
#include <sstream>
#include <string>

using namespace pgsteady;

namespace {

std::string decoded(const std::string& hex) {
    std::string text;
    for (std::size_t at = 0; at + 1 < hex.size(); at += 2)
        text += static_cast<char>(std::stoi(hex.substr(at, 2), nullptr, 16));
    return text;
}

std::string encoded(const std::string& text) {
    std::string hex;
    for (const char c : text) {
        hex += "0123456789abcdef"[static_cast<unsigned char>(c) >> 4U];
        hex += "0123456789abcdef"[static_cast<unsigned char>(c) & 15U];
    }
    return hex.empty() ? "." : hex;
}

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
