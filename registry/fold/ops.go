package fold

import (
	"encoding/json"
	"maps"
	"slices"
)

// ops gives each op its type. decode reads the members of an effect; what it
// ignores or lacks shows when the result is encoded again.
var ops = map[Op]func([]byte) (Effect, error){
	OpSetRegistry:       decodeAs[SetRegistry],
	OpAddVersion:        decodeAs[AddVersion],
	OpAddSigners:        decodeAs[AddSigners],
	OpSetProfile:        decodeAs[SetProfile],
	OpAddKey:            decodeAs[AddKey],
	OpRotateKey:         decodeAs[RotateKey],
	OpRevokeKey:         decodeAs[RevokeKey],
	OpAddAttestation:    decodeAs[AddAttestation],
	OpAddModel:          decodeAs[AddModel],
	OpAddUsage:          decodeAs[AddUsage],
	OpAddAttribution:    decodeAs[AddAttribution],
	OpAddAgreement:      decodeAs[AddAgreement],
	OpPendingAgreement:  decodeAs[PendingAgreement],
	OpCompleteAgreement: decodeAs[CompleteAgreement],
	OpClosePeriod:       decodeAs[ClosePeriod],
	OpAddCurrency:       decodeAs[AddCurrency],
	OpAddRevenue:        decodeAs[AddRevenue],
	OpCountRevenue:      decodeAs[CountRevenue],
	OpAddAllocation:     decodeAs[AddAllocation],
	OpAddAdjustment:     decodeAs[AddAdjustment],
	OpAddPayout:         decodeAs[AddPayout],
	OpAddPayoutResult:   decodeAs[AddPayoutResult],
	OpSetPayee:          decodeAs[SetPayee],
	OpAddDispute:        decodeAs[AddDispute],
	OpAddResolution:     decodeAs[AddResolution],
	OpAddCommit:         decodeAs[AddCommit],
	OpAddAcceptance:     decodeAs[AddAcceptance],
	OpAddWithdrawal:     decodeAs[AddWithdrawal],
	OpAddTombstone:      decodeAs[AddTombstone],
}

// Ops returns the names of all effects, sorted.
func Ops() []Op { return slices.Sorted(maps.Keys(ops)) }

func decodeAs[E Effect](b []byte) (Effect, error) {
	var e E
	err := json.Unmarshal(b, &e)
	return e, err
}

// Op returns the effect's name.
func (SetRegistry) Op() Op       { return OpSetRegistry }
func (AddVersion) Op() Op        { return OpAddVersion }
func (AddSigners) Op() Op        { return OpAddSigners }
func (SetProfile) Op() Op        { return OpSetProfile }
func (AddKey) Op() Op            { return OpAddKey }
func (RotateKey) Op() Op         { return OpRotateKey }
func (RevokeKey) Op() Op         { return OpRevokeKey }
func (AddAttestation) Op() Op    { return OpAddAttestation }
func (AddModel) Op() Op          { return OpAddModel }
func (AddUsage) Op() Op          { return OpAddUsage }
func (AddAttribution) Op() Op    { return OpAddAttribution }
func (AddAgreement) Op() Op      { return OpAddAgreement }
func (PendingAgreement) Op() Op  { return OpPendingAgreement }
func (CompleteAgreement) Op() Op { return OpCompleteAgreement }
func (ClosePeriod) Op() Op       { return OpClosePeriod }
func (AddCurrency) Op() Op       { return OpAddCurrency }
func (AddRevenue) Op() Op        { return OpAddRevenue }
func (CountRevenue) Op() Op      { return OpCountRevenue }
func (AddAllocation) Op() Op     { return OpAddAllocation }
func (AddAdjustment) Op() Op     { return OpAddAdjustment }
func (AddPayout) Op() Op         { return OpAddPayout }
func (AddPayoutResult) Op() Op   { return OpAddPayoutResult }
func (SetPayee) Op() Op          { return OpSetPayee }
func (AddDispute) Op() Op        { return OpAddDispute }
func (AddResolution) Op() Op     { return OpAddResolution }
func (AddCommit) Op() Op         { return OpAddCommit }
func (AddAcceptance) Op() Op     { return OpAddAcceptance }
func (AddWithdrawal) Op() Op     { return OpAddWithdrawal }
func (AddTombstone) Op() Op      { return OpAddTombstone }

func (SetRegistry) effect()       {}
func (AddVersion) effect()        {}
func (AddSigners) effect()        {}
func (SetProfile) effect()        {}
func (AddKey) effect()            {}
func (RotateKey) effect()         {}
func (RevokeKey) effect()         {}
func (AddAttestation) effect()    {}
func (AddModel) effect()          {}
func (AddUsage) effect()          {}
func (AddAttribution) effect()    {}
func (AddAgreement) effect()      {}
func (PendingAgreement) effect()  {}
func (CompleteAgreement) effect() {}
func (ClosePeriod) effect()       {}
func (AddCurrency) effect()       {}
func (AddRevenue) effect()        {}
func (CountRevenue) effect()      {}
func (AddAllocation) effect()     {}
func (AddAdjustment) effect()     {}
func (AddPayout) effect()         {}
func (AddPayoutResult) effect()   {}
func (SetPayee) effect()          {}
func (AddDispute) effect()        {}
func (AddResolution) effect()     {}
func (AddCommit) effect()         {}
func (AddAcceptance) effect()     {}
func (AddWithdrawal) effect()     {}
func (AddTombstone) effect()      {}
