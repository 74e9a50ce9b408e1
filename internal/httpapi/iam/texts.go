package iam

import (
	"net/http"

	"github.com/sallyport-net/sallyport/internal/httpapi/edge"
	"github.com/sallyport-net/sallyport/internal/identity"
)

// text is one sentence in both languages.
type text struct{ en, zh string }

// The sentences of the IAM API reference: of its examples, of its table of error codes
// (IAM.0001 and on), and where it has none, ours.
var (
	textBadPassword = text{"The username or password is wrong.", "用户名或密码错误。"}
	textBadToken    = text{"The X-Auth-Token is invalid!", "X-Auth-Token无效！"}
	textBadSubject  = text{"The X-Subject-Token is invalid!", "X-Subject-Token无效！"}
	textInternal    = text{"An unexpected error prevented the server from fulfilling your request.", "系统错误。"}
	textBusy        = text{"Too many logins are being checked. Try again.", "登录请求过多，请稍后重试。"}
	textBadBody     = text{"The request body is invalid", "请求体校验失败。"}
)

// authTexts are the Chinese sentences of a failed authentication. In English the
// detail of the error is the sentence, except for those that the reference words.
var authTexts = map[identity.AuthKind]text{
	identity.AuthMissing:              {zh: "请求认证失败，缺少认证信息。"},
	identity.AuthMalformed:            {zh: "请求签名格式错误。"},
	identity.AuthUnknownKey:           {zh: "访问密钥校验失败。"},
	identity.AuthMismatch:             {zh: "访问密钥校验失败。"},
	identity.AuthExpiredSignature:     {zh: "请求签名已过期。"},
	identity.AuthBadToken:             textBadToken,
	identity.AuthExpiredToken:         {zh: "token已过期。"},
	identity.AuthRevoked:              {zh: "token已失效。"},
	identity.AuthBadPassword:          textBadPassword,
	identity.AuthUnsupported:          {zh: "不支持的认证方式。"},
	identity.AuthBadSecurityToken:     {zh: "错误的securitytoken。"},
	identity.AuthExpiredSecurityToken: {zh: "临时访问密钥已过期。"},
}

// statusTexts are the sentences that stand before a detail in Chinese, and alone where
// there is no detail.
var statusTexts = map[int]text{
	http.StatusBadRequest:            {"Request parameter is invalid.", "请求参数校验失败。"},
	http.StatusUnauthorized:          {"The request you have made requires authentication.", "请求认证失败。"},
	http.StatusForbidden:             {"You are not authorized to perform the requested action.", "请求未授权。"},
	http.StatusNotFound:              {"The resource could not be found.", "无法找到请求资源。"},
	http.StatusMethodNotAllowed:      {"The method is not allowed for the resource.", "不支持该请求方法。"},
	http.StatusRequestTimeout:        {"The request did not come in time.", "请求超时。"},
	http.StatusConflict:              {"The request conflicts with the state of the resource.", "请求与资源的当前状态冲突。"},
	http.StatusRequestEntityTooLarge: {"The request body is too large.", "请求体过大。"},
	http.StatusUnsupportedMediaType:  {"The encoding is not supported.", "不支持的编码方式。"},
	http.StatusInternalServerError:   textInternal,
	http.StatusServiceUnavailable:    {"The service is unavailable.", "服务暂不可用，请稍后重试。"},
	http.StatusGatewayTimeout:        {"The request took too long.", "请求处理超时。"},
}

// sentence returns what a caller reads: in English the detail, which says more, and in
// Chinese the sentence with the detail in brackets.
func sentence(language string, t text, detail string) string {
	switch {
	case language == edge.Chinese && detail == "":
		return t.zh
	case language == edge.Chinese:
		return t.zh + "（" + detail + "）"
	case detail == "":
		return t.en
	default:
		return detail
	}
}
