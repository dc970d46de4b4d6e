# jmt_abi(VARIABLE SEED FOLDERS...): a hash of the headers of these folders, equal where both sides of a
# plug-in were compiled with the same ones.
function(jmt_abi variable seed)
  list(TRANSFORM ARGN PREPEND ${CMAKE_SOURCE_DIR}/)
  list(TRANSFORM ARGN APPEND /*.h)
  file(GLOB headers RELATIVE ${CMAKE_SOURCE_DIR} CONFIGURE_DEPENDS ${ARGN})
  foreach(header ${headers})
    file(SHA256 ${CMAKE_SOURCE_DIR}/${header} hash)
    string(APPEND seed " ${header} ${hash}")
    set_property(DIRECTORY ${CMAKE_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${header})
  endforeach()
  string(SHA256 hash "${seed}")
  set(${variable} ${hash} PARENT_SCOPE)
endfunction()
