// A configuration file as a small tree with line numbers: the subset of YAML that we accept.
//
// Bounded against hostile files: size, depth, number of values; no anchors, aliases, tags or second
// documents; a key given twice is a problem. Exceptions of yaml-cpp never leave yaml_tree.cpp.
#pragma once

#include "config/problem.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteady::config {

inline constexpr std::size_t max_file_bytes = 1024 * 1024;
inline constexpr std::size_t max_yaml_depth = 32;
inline constexpr std::size_t max_yaml_nodes = 50'000;

enum class yaml_kind : std::uint8_t {
    empty,     // nothing, or ~
    scalar,    // text, quoted or not
    sequence,  // children without names
    mapping,   // children with names
};

struct yaml_node {
    yaml_kind kind = yaml_kind::empty;
    std::string name;  // the key under which a mapping holds it
    int line = 0;      // 1-based; the line of its key, if it has one
    std::string scalar;
    std::vector<yaml_node> children;
};

/// Parses one document. Problems carry lines but no file name (the caller knows it). After an error
/// the result is an empty node.
[[nodiscard]] yaml_node parse_yaml(std::string_view text, std::vector<problem>& problems);

}  // namespace pgsteady::config
