// Values for a statement, in the binary form in which PostgreSQL takes them: nothing is quoted, and
// a batch of rows is one statement over arrays. Pure; values.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rackmark {

// A bytea[] that grows by one element at a time.
class PgBytesArray {
 public:
  PgBytesArray();
  // Room for one more element, to be filled before the next call.
  uint8_t* AddRoom(size_t bytes);
  void Add(std::string_view bytes);
  size_t size() const { return size_; }
  // The whole array.
  std::string Take() &&;

 private:
  std::string bytes_;
  uint32_t size_ = 0;
};

// $1, $2, ... in order.
class PgParams {
 public:
  PgParams& Int(uint64_t value);  // bigint
  PgParams& Text(std::string_view text);
  PgParams& Bytes(std::string_view bytes);           // bytea
  PgParams& Ints(std::span<const uint64_t> values);  // bigint[]
  PgParams& BytesArray(PgBytesArray values);         // bytea[]

  int size() const { return static_cast<int>(values_.size()); }
  const std::vector<uint32_t>& types() const { return types_; }
  const std::vector<std::string>& values() const { return values_; }

 private:
  PgParams& Push(uint32_t type, std::string value);
  std::vector<uint32_t> types_;  // by the numbers that the catalogue gives them for ever
  std::vector<std::string> values_;
};

// As it stands in a binary result.
uint64_t PgInteger(std::string_view bytes);

}  // namespace rackmark
