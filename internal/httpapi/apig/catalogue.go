package apig

import "net/http"

// The error codes that this family answers with (APIG API reference, Error
// Codes).
const (
	codeCredentials = "APIC.7102"
	codeForbidden   = "APIC.7106"
	codeParameter   = "APIC.7211"
	codeNotFound    = "APIC.7302"
	codeNoService   = "APIC.7314"
	codeConflict    = "APIC.7701"
	codeServer      = "APIC.9000"
	codeVPCEP       = "APIC.9007"
	// codeNoPath is that of the gateway which stands in front of the service.
	codeNoPath = "APIGW.0101"
)

// entry is one error code: the HTTP status it has, and what it says.
type entry struct {
	status           int
	english, chinese string
}

// catalogue has every code that is answered with. The English sentences of 7102,
// 7106, 7314 and 9007 are those of the reference's examples, letter by letter.
var catalogue = map[string]entry{
	codeCredentials: {http.StatusUnauthorized, "Incorrect token or token resolution failed", "Token错误或解析失败"},
	codeForbidden:   {http.StatusForbidden, "No permissions to request for the method", "没有请求该方法的权限"},
	codeParameter:   {http.StatusBadRequest, "Parameter value does not match the rules", "参数值不符合规则"},
	codeNotFound:    {http.StatusNotFound, "Instance not found", "实例不存在"},
	codeNoService:   {http.StatusNotFound, "Endpoint service not found", "终端节点服务不存在"},
	codeConflict:    {http.StatusConflict, "The present state forbids this", "当前状态不允许该操作"},
	codeServer:      {http.StatusServiceUnavailable, "The service is not available. Try again", "服务暂不可用，请重试"},
	codeVPCEP:       {http.StatusInternalServerError, "Failed to execute VCPEP request", "执行VPCEP请求失败"},
	codeNoPath:      {http.StatusNotFound, "The API does not exist or has not been published", "API不存在或未发布"},
}

// message returns what a code says and, where detail is not empty, what is
// wrong with this request. Details exist in English only.
func message(code, detail string, chinese bool) string {
	e := catalogue[code]
	switch {
	case chinese && detail != "":
		return e.chinese + "（" + detail + "）"
	case chinese:
		return e.chinese
	case detail != "":
		return e.english + ": " + detail
	default:
		return e.english
	}
}
