module grpcurl_tool

go 1.25.0

require github.com/fullstorydev/grpcurl v1.9.3
